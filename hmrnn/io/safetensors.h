#pragma once

#include <torch/types.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The contents of a .safetensors file: named tensors in file order, and the string map `__metadata__`.
struct HMRNN_API SafeTensors {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;  ///< after reading: CPU, contiguous, owning their memory
  std::map<std::string, std::string> metadata;                 ///< `__metadata__`, without the checksums
  bool verified = false;                                       ///< after reading: the file has correct checksums

  /// The tensor called `name`, or an undefined tensor.
  torch::Tensor find(const std::string& name) const;
  /// find, but throws hmrnn::Error naming `where` and what is missing or differs, unless the tensor has these sizes and
  /// this dtype.
  torch::Tensor require(const std::string& name, torch::IntArrayRef sizes, torch::ScalarType dtype,
                        const std::string& where) const;
};

/// Writes `file` in the public safetensors format: little-endian uint64 header length, JSON header padded with spaces
/// to 8 bytes, data. The file is replaced atomically (write_file_atomically). Tensors are written in the given order
/// without gaps; they may be on any device and have any strides. Dtypes: BOOL U8 I8 I16 I32 I64 F16 BF16 F32 F64.
/// Throws hmrnn::Error naming the path, also for what the format cannot hold: tensors that are undefined, sparse or of
/// another dtype, a duplicate name, the name "__metadata__", text that is not UTF-8, and the metadata key "hmrnn.xxh3".
///
/// Adds checksums (XXH3, 64 bits, 16 hexadecimal digits) under the metadata key `hmrnn.xxh3`, as the JSON text
/// {"header": SUM, "tensors": {NAME: SUM, …}}. A tensor's checksum is over its stored bytes. The header's is over the
/// JSON text, with sorted keys and without white space, of {"metadata": {KEY: VALUE, …}, "tensors": {NAME: [DTYPE,
/// [SIZE, …]], …}}, without the key `hmrnn.xxh3`. Tensors are read twice and must not change in between.
HMRNN_API void write_safetensors(const std::filesystem::path& path, const SafeTensors& file);

/// Reads a file and checks it strictly. The header must have at most 100 MB, fit into the file and be a valid UTF-8
/// JSON object (white space around it and a `__metadata__` of null are accepted) without duplicate names, fields or
/// metadata keys, without unknown fields or dtypes; at most 64 dimensions; shapes non-negative and without overflow;
/// offsets that cover the data without holes or overlaps, in agreement with dtype and shape. BOOL bytes must be 0 or 1.
/// Checksums, if present, must be correct (`verified`). The whole header is checked before memory for tensors is
/// allocated. Tensors are returned in the order of their data. Throws hmrnn::Error "PATH: what is wrong", one line.
HMRNN_API SafeTensors read_safetensors(const std::filesystem::path& path);

}  // namespace hmrnn
