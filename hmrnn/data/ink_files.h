#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

/// Where a set of lineStrokes files lies.
struct InkSource {
  std::filesystem::path path;   ///< a folder (searched at any depth) or a tar archive, compressed or not
  std::filesystem::path lists;  ///< the folder that Graves' form lists are looked for in
};

/// Finds the files of `data_dir`: the archive itself if that is a file, else in that folder `lineStrokes`, else
/// `lineStrokes-all.tar.xz` (or .tar.gz, .tar), else any .xml below the folder. Throws hmrnn::Error naming it if there
/// is none of these.
HMRNN_API InkSource find_ink_source(const std::filesystem::path& data_dir);

/// Calls `visit` with the path (below the folder or inside the archive) and the bytes of every .xml file, once each; a
/// folder's in the order of their names, an archive's as they come. Files whose name begins with a dot are left out. An
/// exception of `visit` passes. A file that is over 64 MiB, or one of a folder that cannot be read, is given to
/// `refuse` instead, with what is wrong, to be put behind a name of the file (" has more than …", ": cannot open …");
/// without `refuse` it is thrown as hmrnn::Error. Throws hmrnn::Error naming a folder or an archive that cannot be
/// read.
HMRNN_API void visit_ink_files(
    const InkSource& source, const std::function<void(const std::string& path, std::string_view bytes)>& visit,
    const std::function<void(const std::string& path, const std::string& what)>& refuse = {});

/// 32 hexadecimal digits that depend on every byte that visit_ink_files would read (128 bits of XXH3): of an archive on
/// its bytes as they are stored, of a folder on names and contents of its .xml files.
HMRNN_API std::string ink_content_key(const InkSource& source);

}  // namespace hmrnn
