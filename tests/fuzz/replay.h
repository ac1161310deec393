#pragma once

// Shared by the fuzz targets. With clang's libFuzzer, LLVMFuzzerTestOneInput gets generated inputs. Without it (any
// compiler, with -DHMRNN_FUZZ_MAIN), the program replays the files named on its command line: a corpus, or a crash to
// debug.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

[[noreturn]] inline void fail(const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
  std::abort();
}

/// An error must be one line of text that begins with its subject.
inline void expect_one_line(const std::string& text, const std::string& about) {
  if (text.rfind(about + ": ", 0) != 0) fail("the error does not name the file", text);
  for (const char c : text) {
    if (c >= 0 && c < ' ') fail("the error is not one line of text", text);
  }
}

#ifdef HMRNN_FUZZ_MAIN
#include <fstream>
#include <iterator>

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
