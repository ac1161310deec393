// Fuzzes read_safetensors: any bytes give a result or one line of hmrnn::Error. How to build it: tests/fuzz/README.md.
//
// With clang's libFuzzer, LLVMFuzzerTestOneInput is called with inputs of its own. Without it (any compiler, with
// -DHMRNN_FUZZ_MAIN), the program replays the files named on its command line: a corpus, or a crash to look into.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

#include "hmrnn/error.h"
#include "hmrnn/io/safetensors.h"

namespace {

[[noreturn]] void fail(const char* what, const std::string& detail) {
  std::fprintf(stderr, "fuzz_safetensors: %s: %s\n", what, detail.c_str());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // A file in memory, since the reader takes a path.
  static const int descriptor = ::memfd_create("fuzz", 0);
  static const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  if (descriptor < 0 || ::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, data, size, 0) != static_cast<ssize_t>(size)) {
    fail("cannot make a file in memory", path);
  }
  try {
    const hmrnn::SafeTensors file = hmrnn::read_safetensors(path);
    size_t total = 0;
    for (const auto& item : file.tensors) total += item.second.nbytes();
    if (total + 10 > size) fail("more data than the file has", std::to_string(total));
  } catch (const hmrnn::Error& error) {
    const std::string text = error.what();
    if (text.rfind(path + ": ", 0) != 0) fail("the error does not name the file", text);
    for (const char c : text) {
      if (c >= 0 && c < ' ') fail("the error is not one line of text", text);
    }
  }
  return 0;
}

#ifdef HMRNN_FUZZ_MAIN
int main(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    std::ifstream input(argv[i], std::ios::binary);
    if (!input) fail("cannot open", argv[i]);
    const std::string bytes{std::istreambuf_iterator<char>(input), {}};
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%d files, no failure\n", argc - 1);
}
#endif
