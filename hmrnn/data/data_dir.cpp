#include "hmrnn/data/data_dir.h"

#include <cstdlib>
#include <system_error>

namespace hmrnn {

namespace fs = std::filesystem;

fs::path default_data_dir(const std::string& corpus) {
  std::error_code ignored;  // a folder that cannot be read counts as absent
  if (const char* parent = std::getenv("HMRNN_DATA_DIR"); parent && *parent) {
    const auto dir = fs::path(parent) / corpus;
    if (fs::is_directory(dir, ignored)) return dir;
  }
  const auto dir = fs::path("data") / corpus;
  return fs::is_directory(dir, ignored) ? dir : fs::path();
}

}  // namespace hmrnn
