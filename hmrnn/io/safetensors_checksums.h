#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>

#include "hmrnn/io/safetensors_header.h"

namespace hmrnn {

// The checksums that write_safetensors adds to a file (safetensors.h defines them). Internal to hmrnn/io, not exported
// from libhmrnn.

/// Metadata key of the checksums.
inline const std::string kChecksumKey = "hmrnn.xxh3";

/// XXH3 checksums (64 bits) as 16 hexadecimal digits each.
struct SafetensorsChecksums {
  std::string header;                          ///< over names, dtypes, shapes and metadata
  std::map<std::string, std::string> tensors;  ///< over each tensor's bytes, by name

  /// The metadata value for kChecksumKey.
  std::string format() const;
  /// The inverse of format. Throws hmrnn::Error naming `path` for malformed text.
  static SafetensorsChecksums parse(const std::string& text, const std::string& path);
};

std::string checksum_of(const void* data, size_t size);

/// Checksum of the header without the offsets of the data and without kChecksumKey; safetensors.h defines the text.
std::string checksum_of(const SafetensorsHeader& header);

/// Removes the checksums from the header's metadata and returns them; empty if it has none. Throws hmrnn::Error naming
/// `path` if they are malformed, do not name the header's tensors, or if the header's own checksum is wrong.
std::optional<SafetensorsChecksums> take_checksums(SafetensorsHeader& header, const std::string& path);

}  // namespace hmrnn
