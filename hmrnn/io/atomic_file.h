#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

/// Replaces `path` by what `write` sends to the sink it is given: into a temporary file beside it, fsync, rename, fsync
/// of the folder. On any failure the temporary file is removed, the old `path` is untouched, and hmrnn::Error names the path.
HMRNN_API void write_file_atomically(const std::filesystem::path& path,
                                     const std::function<void(const std::function<void(std::string_view)>&)>& write);

}  // namespace hmrnn
