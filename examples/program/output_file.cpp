#include "examples/program/output_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "hmrnn/error.h"

namespace fs = std::filesystem;

void require_output(const std::string& option, const std::string& path, const std::string& ending,
                    const std::vector<std::string>& inputs) {
  const auto refuse = [&](const std::string& why) {
    throw hmrnn::Error(fmt::format("--{} {}: {}", option, path, why));
  };
  if (!path.ends_with(ending)) refuse("the name must end in " + ending);
  std::error_code unknown;
  if (const auto folder = fs::path(path).parent_path(); !folder.empty() && !fs::is_directory(folder, unknown)) {
    refuse("there is no folder " + folder.string());
  }
  for (const auto& input : inputs) {
    if (!input.empty() && fs::equivalent(input, path, unknown)) refuse("this file is read, and would be overwritten");
  }
}

void require_new_output(const std::string& option, const std::string& path, const std::string& ending) {
  require_output(option, path, ending);
  std::error_code unknown;
  if (fs::exists(fs::symlink_status(path, unknown))) {
    throw hmrnn::Error(fmt::format("--{} {}: there is such a file", option, path));
  }
}
