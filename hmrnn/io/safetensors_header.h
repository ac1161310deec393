#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hmrnn {

// The JSON header of a safetensors file. Internal to hmrnn/io, not exported from libhmrnn.

constexpr uint64_t kSafetensorsHeaderLimit = 100'000'000;  ///< bytes
constexpr size_t kSafetensorsMaxDimensions = 64;           ///< the limit of ATen's iterators

struct SafetensorsEntry {
  std::string name;
  c10::ScalarType dtype;
  std::vector<int64_t> shape;
  uint64_t begin;  ///< bytes from the start of the data
  uint64_t end;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  ///< in the order of their data
  std::map<std::string, std::string> metadata;
};

/// Parses and checks a header for a file with `data_size` bytes of data. Throws hmrnn::Error "PATH: what is wrong".
SafetensorsHeader parse_safetensors_header(std::string_view json, uint64_t data_size, const std::string& path);

/// The header as JSON without padding. Throws hmrnn::Error if a name or a metadata string is not UTF-8.
std::string format_safetensors_header(const SafetensorsHeader& header, const std::string& path);

/// "F32" for float32 and so on; empty if the format does not have the dtype or this project does not support it.
std::string_view safetensors_dtype_name(c10::ScalarType dtype);

/// Number of bytes of a tensor; empty if the product of its non-zero dimensions and the element size exceeds an int64.
std::optional<uint64_t> safetensors_byte_size(c10::ScalarType dtype, const std::vector<int64_t>& shape);

/// `text` in double quotes, escaped onto one line and truncated if long: for error messages.
std::string quote(const std::string& text);

}  // namespace hmrnn
