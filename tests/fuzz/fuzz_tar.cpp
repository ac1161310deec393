// Fuzzes the reading of handwriting archives: any bytes give files or hmrnn::Error with one line, within the limits on
// decompression. Build: tests/fuzz/README.md.
#include <string>
#include <string_view>

#include "hmrnn/data/ink_files.h"
#include "hmrnn/error.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const MemoryFile file;
  file.put(data, size);
  size_t total = 0;
  try {
    hmrnn::visit_ink_files(
        {file.path(), "/"}, [&](const std::string&, std::string_view bytes) { total += bytes.size(); },
        [](const std::string&, const std::string& what) {
          if (what.empty()) fail("a file is refused without a reason", what);
        });
  } catch (const hmrnn::Error& error) {
    if (std::string(error.what()).find(file.path()) == std::string::npos)
      fail("the error does not name the file", error.what());
  }
  if (total > (size_t{256} << 20) + 200 * size) fail("more data than an archive may hold", std::to_string(total));
  return 0;
}
