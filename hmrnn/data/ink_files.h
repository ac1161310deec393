#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

/// Location of a set of lineStrokes files.
struct InkSource {
  std::filesystem::path path;   ///< a folder (searched at any depth) or a tar archive, compressed or not
  std::filesystem::path lists;  ///< folder of Graves' form lists
};

/// Finds the files of `data_dir`: `data_dir` itself if it is an archive, else in that folder `lineStrokes`, else
/// `lineStrokes-all.tar.xz` (or .tar.gz, .tar), else any .xml below the folder. Throws hmrnn::Error naming the folder
/// if it has none of these.
HMRNN_API InkSource find_ink_source(const std::filesystem::path& data_dir);

/// Calls `visit` once for every .xml file with its path (below the folder or inside the archive) and its bytes: sorted
/// by name in a folder, in stored order in an archive. Files whose name begins with a dot are skipped. Links in a
/// folder are followed; a folder to which several paths lead is searched once. Exceptions of `visit` pass through.
/// `refuse` is called instead, with a text that follows the file's name in a message (" has more than …", ": cannot
/// open …"), for a file over 64 MiB, for one in a folder that cannot be read, for a pipe or a device that is called
/// .xml, for a link that leads nowhere (called .xml, or without an extension as the folder of a form would be), and in
/// an archive for a link that is called .xml, except for a hard link with data; without `refuse`, hmrnn::Error is
/// thrown. Throws hmrnn::Error naming a folder or an archive that cannot be read.
HMRNN_API void visit_ink_files(
    const InkSource& source, const std::function<void(const std::string& path, std::string_view bytes)>& visit,
    const std::function<void(const std::string& path, const std::string& what)>& refuse = {});

/// 32 hexadecimal digits, a 128-bit XXH3 hash of what visit_ink_files would read: of the stored bytes of an archive; of
/// the names and contents of the .xml files in a folder.
HMRNN_API std::string ink_content_key(const InkSource& source);

}  // namespace hmrnn
