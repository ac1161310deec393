#pragma once

#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether this build has libarchive, without which no .xz file and no tar archive can be read.
HMRNN_API bool has_libarchive();

/// The bytes of an .xz file, decompressed; several streams in a row are one text. Throws hmrnn::Error naming the file,
/// also where it decompresses to absurd sizes (limit_decompression) and where the library was built without libarchive.
std::string read_xz_file(const std::filesystem::path& path);

}  // namespace hmrnn
