#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Opens a file for reading and returns its descriptor. Throws hmrnn::Error naming a file that cannot be opened or is
/// not regular: reading a device or a pipe might never end, or block.
HMRNN_API int open_regular_file(const std::filesystem::path& path);

/// All bytes of a regular file. Throws hmrnn::Error naming it if it cannot be read or does not fit into memory.
HMRNN_API std::string read_whole_file(const std::filesystem::path& path);

/// Throws hmrnn::Error naming `path` if `bytes`, the number of decompressed bytes so far, exceeds both 256 MiB and 200
/// times the file's size. Text compresses to a fifth or a tenth, a decompression bomb to a thousandth.
HMRNN_API void limit_decompression(const std::filesystem::path& path, uint64_t file_size, uint64_t bytes);

}  // namespace hmrnn
