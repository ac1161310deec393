#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace hmrnn {

/// The regular files of a tar archive, compressed in any way that libarchive knows, one after the other.
class TarReader {
 public:
  /// Throws hmrnn::Error naming the archive if it cannot be read, as every function here does: no regular file,
  /// damaged, cut off (even between two of its files), a decompression bomb; also where the library was built without
  /// libarchive.
  explicit TarReader(std::filesystem::path path);
  ~TarReader();

  /// Goes on to the next file; false at the end.
  bool next(std::string& name);
  /// That file's bytes; false if there are more than `limit`.
  bool read(int64_t limit, std::string& bytes);

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

}  // namespace hmrnn
