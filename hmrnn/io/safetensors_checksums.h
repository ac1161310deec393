#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "hmrnn/io/safetensors_header.h"

namespace hmrnn {

// The checksums that write_safetensors adds to a file (safetensors.h says what they are). Internal to hmrnn/io: not
// part of what libhmrnn shows.

/// The metadata key under which they stand.
inline const std::string kChecksumKey = "hmrnn.xxh3";

/// XXH3 with 64 bits, each as 16 hexadecimal digits.
struct SafetensorsChecksums {
  std::string header;                          ///< of names, dtypes, shapes and metadata
  std::map<std::string, std::string> tensors;  ///< of each tensor's bytes, by name

  /// The text under kChecksumKey.
  std::string format() const;
  /// The way back. Throws hmrnn::Error naming `path` for another text.
  static SafetensorsChecksums parse(const std::string& text, const std::string& path);
};

std::string checksum_of(const void* data, size_t size);

/// Of everything that the header says but for the places of the data: the JSON text, without white space and with
/// sorted keys, of {"metadata": {KEY: VALUE, …}, "tensors": {NAME: [DTYPE, [SIZE, …]], …}}, kChecksumKey left out.
std::string checksum_of(const SafetensorsHeader& header);

/// Takes the checksums out of the header's metadata; nothing if it has none. Throws hmrnn::Error naming `path` where
/// they are malformed, not of these tensors, or not those of the header.
std::optional<SafetensorsChecksums> take_checksums(SafetensorsHeader& header, const std::string& path);

}  // namespace hmrnn
