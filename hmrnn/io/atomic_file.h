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
/// A process that is killed meanwhile leaves its temporary file; the next write into the folder removes it.
///
/// On any failure the temporary file is removed, the old `path` is untouched, and hmrnn::Error names the path and the
/// system's reason. (One exception: if only the fsync of the folder fails, the new file is in place and the error says
/// so.) An exception that `write` itself throws passes through unchanged.
HMRNN_API void write_file_atomically(const std::filesystem::path& path,
                                     const std::function<void(const std::function<void(std::string_view)>&)>& write);

/// Removes the temporary files (`.NAME.tmp-XXXXXXXX`) that killed processes left in `folder`: those that no process has
/// locked, as each does that writes one, and that were not changed for 10 seconds. What cannot be removed stays.
HMRNN_API void remove_stale_temporary_files(const std::filesystem::path& folder);

}  // namespace hmrnn
