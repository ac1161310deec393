#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

/// Replaces `path` by the bytes that `write` passes to its argument, the sink: writes a temporary file beside it, then
/// fsync, rename, fsync of the folder. Readers, also after a power failure, see either the old file or the new one,
/// complete. The new file has mode 0666 less the umask; a symbolic link at `path` is replaced, not followed.
///
/// If the process is killed before the rename, its temporary file remains; the next write of `path` removes it.
///
/// On failure the temporary file is removed, the old `path` is unchanged, and hmrnn::Error names the path and the
/// system's reason. (One exception: if only the fsync of the folder fails, the new file is in place and the error says
/// so.) Exceptions of `write` pass through.
HMRNN_API void write_file_atomically(const std::filesystem::path& path,
                                     const std::function<void(const std::function<void(std::string_view)>&)>& write);

/// Removes the temporary files (`.NAME.tmp-XXXXXXXX`) that killed processes left in `folder`, of the file `name` or, if
/// that is empty, of all files: then no other process may write to `folder`. Files that a process has locked (each
/// writer locks its own) and files changed within the last 10 seconds stay, as does what cannot be removed.
HMRNN_API void remove_stale_temporary_files(const std::filesystem::path& folder, const std::string& name = {});

}  // namespace hmrnn
