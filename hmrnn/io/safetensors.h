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
struct HMRNN_API SafeTensors {
  std::vector<std::pair<std::string, torch::Tensor>> tensors;  ///< read: CPU, contiguous, owning their memory
  std::map<std::string, std::string> metadata;                 ///< `__metadata__`, without the checksums
  bool verified = false;                                       ///< read: checksums were there, and are right

  /// The tensor called `name`, or an undefined tensor.
  torch::Tensor find(const std::string& name) const;
  /// The same of these sizes and this dtype; throws hmrnn::Error naming `where` and what is missing or differs.
  torch::Tensor require(const std::string& name, torch::IntArrayRef sizes, torch::ScalarType dtype,
                        const std::string& where) const;
};

/// Writes `file` in the public safetensors format (little-endian uint64 header length, JSON header padded with spaces
/// to 8 bytes, data), to a temporary file in the same folder that is synced and renamed: a reader sees the old file or
/// the new one, whole. Tensors are written in the given order, one after the other, from any device and with any
/// strides. Dtypes BOOL U8 I8 I16 I32 I64 F16 BF16 F32 F64. Throws hmrnn::Error naming the path, also for tensors that
/// the format cannot hold (undefined, sparse, another dtype, a name twice, "__metadata__" as a name, text that is not
/// UTF-8, a metadata key "hmrnn.xxh3").
///
/// Checksums (XXH3, 64 bits, 16 hexadecimal digits) go under the metadata key `hmrnn.xxh3` as the JSON text {"header":
/// SUM, "tensors": {NAME: SUM, …}}: of each tensor's bytes as they are stored, and of the JSON text, with sorted keys
/// and without white space, of {"metadata": {KEY: VALUE, …}, "tensors": {NAME: [DTYPE, [SIZE, …]], …}}, itself left
/// out. Tensors are read twice, so they must not change meanwhile.
HMRNN_API void write_safetensors(const std::filesystem::path& path, const SafeTensors& file);

/// Reads and checks a file strictly: header of at most 100 MB that fits the file, valid UTF-8 JSON object (white space
/// around it and a `__metadata__` of null are let pass), no duplicate names, fields or metadata keys, no unknown
/// fields, known dtypes, at most 64 dimensions, shapes non-negative without overflow, offsets contiguous from 0 to the
/// end of the data without holes or overlaps and of the size that dtype and shape say, BOOL bytes 0 or 1, and
/// checksums, where the file has them (`verified`), right. All of the header is checked before memory for tensors is
/// taken. Tensors come in the order of their data. Throws hmrnn::Error "PATH: what is wrong", one line.
HMRNN_API SafeTensors read_safetensors(const std::filesystem::path& path);

}  // namespace hmrnn
