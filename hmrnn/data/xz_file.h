#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether this build has libarchive, which .xz files and tar archives need.
HMRNN_API bool has_libarchive();

/// Contents of an .xz file, decompressed; several concatenated streams are one text. Throws hmrnn::Error naming the
/// file if it cannot be read, decompresses to an implausible size (limit_decompression), or if the library was built
/// without libarchive.
HMRNN_API std::string read_xz_file(const std::filesystem::path& path);

}  // namespace hmrnn
