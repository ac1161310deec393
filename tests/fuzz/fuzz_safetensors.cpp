// Fuzzes read_safetensors: any bytes give a result or hmrnn::Error with one line. Build: tests/fuzz/README.md.
#include "hmrnn/error.h"
#include "hmrnn/io/safetensors.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile file;
  file.put(data, size);
  try {
    const hmrnn::SafeTensors read = hmrnn::read_safetensors(file.path());
    size_t total = 0;
    for (const auto& item : read.tensors) total += item.second.nbytes();
    if (total + 10 > size) fail("more data than the file has", std::to_string(total));
  } catch (const hmrnn::Error& error) {
    expect_one_line(error.what(), file.path());
  }
  return 0;
}
