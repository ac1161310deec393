#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Opens a file for reading and returns its descriptor. Throws hmrnn::Error naming what cannot be opened and what is
/// not a regular file: a device or a pipe may never end, or never begin.
HMRNN_API int open_regular_file(const std::filesystem::path& path);

/// All bytes of a regular file. Throws hmrnn::Error naming it, also where they do not fit into memory.
HMRNN_API std::string read_whole_file(const std::filesystem::path& path);

/// Throws hmrnn::Error naming `path` where `bytes`, what has come out of it so far, is more than it can be in earnest:
/// over 256 MiB and 200 times the file's own size. Text shrinks to a fifth or tenth, a decompression bomb to a
/// thousandth.
HMRNN_API void limit_decompression(const std::filesystem::path& path, uint64_t file_size, uint64_t bytes);

}  // namespace hmrnn
