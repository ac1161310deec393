#pragma once

#include <filesystem>
#include <functional>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

/// Replaces `path` by what `write` sends to the sink it is given: into a temporary file beside it, fsync, rename, fsync
/// of the folder. A reader, and a machine that loses power, sees the old file or the new one, whole. The new file has
/// mode 0666 less the umask; a symbolic link at `path` is replaced, not followed.
///
/// On any failure the temporary file is removed, the old `path` is untouched, and hmrnn::Error names the path and the
/// system's reason. (One exception: if only the fsync of the folder fails, the new file is in place and the error says
/// so.) An exception that `write` itself throws passes through unchanged.
HMRNN_API void write_file_atomically(const std::filesystem::path& path,
                                     const std::function<void(const std::function<void(std::string_view)>&)>& write);

}  // namespace hmrnn
