#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The contents of a .safetensors file: named tensors in file order and the string map `__metadata__`.
struct SafeTensors {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;  ///< CPU, contiguous
  std::map<std::string, std::string> metadata;

  /// The tensor called `name`, or an undefined tensor.
  torch::Tensor find(const std::string& name) const;
};

/// Writes `file` in the public safetensors format (little-endian uint64 header length, JSON header padded with spaces to
/// 8 bytes, data), to a temporary file in the same folder that is synced and renamed: a reader sees the old file or the
/// new one, whole. Dtypes BOOL U8 I8 I16 I32 I64 F16 BF16 F32 F64. Throws hmrnn::Error naming the path.
HMRNN_API void write_safetensors(const std::filesystem::path& path, const SafeTensors& file);

/// Reads and checks a file strictly: header of at most 100 MB that fits the file, valid UTF-8 JSON object, no duplicate
/// names, known dtypes, shapes non-negative without overflow, offsets contiguous from 0 to the end of the data without
/// holes or overlaps and of the size that dtype and shape say. Throws hmrnn::Error "PATH: what is wrong".
HMRNN_API SafeTensors read_safetensors(const std::filesystem::path& path);

}  // namespace hmrnn
