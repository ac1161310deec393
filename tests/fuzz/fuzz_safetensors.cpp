// Fuzzes read_safetensors: any bytes give a result or one line of hmrnn::Error. How to build it: tests/fuzz/README.md.
#include <sys/mman.h>
#include <unistd.h>

#include "hmrnn/error.h"
#include "hmrnn/io/safetensors.h"
#include "tests/fuzz/replay.h"

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
    expect_one_line(error.what(), path);
  }
  return 0;
}
