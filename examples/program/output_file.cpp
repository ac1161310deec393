#include "examples/program/output_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "hmrnn/error.h"

namespace fs = std::filesystem;

namespace {

[[noreturn]] void refuse(const std::string& option, const std::string& path, const std::string& why) {
  throw hmrnn::Error(fmt::format("--{} {}: {}", option, path, why));
}

}  // namespace

void require_output(const std::string& option, const std::string& path, const std::string& ending,
                    const std::vector<std::string>& inputs) {
  if (!path.ends_with(ending)) refuse(option, path, "the name must end in " + ending);
  std::error_code error;
  const auto folder = fs::path(path).parent_path();
  if (const auto status = fs::status(folder.empty() ? "." : folder, error); !fs::is_directory(status)) {
    const bool unknown = status.type() == fs::file_type::none;
    refuse(option, path, unknown ? folder.string() + ": " + error.message() : "there is no folder " + folder.string());
  }
  if (const auto status = fs::status(path, error); fs::exists(status) && !fs::is_regular_file(status)) {
    refuse(option, path, "this is not a regular file");
  }
  for (const auto& input : inputs) {
    if (!input.empty() && fs::equivalent(input, path, error)) {
      refuse(option, path, "this file is read, and would be overwritten");
    }
  }
}

void require_new_output(const std::string& option, const std::string& path, const std::string& ending) {
  require_output(option, path, ending);
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) refuse(option, path, "there is such a file");
}
