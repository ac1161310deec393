#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace hmrnn {

/// Reads the regular files of a tar archive in order, with any compression that libarchive knows.
class TarReader {
 public:
  /// All functions throw hmrnn::Error naming the archive if it cannot be read: it is not a regular file, is damaged, is
  /// truncated (also between two of its files), or is a decompression bomb; or the library was built without
  /// libarchive.
  explicit TarReader(std::filesystem::path path);
  ~TarReader();

  /// Advances to the next file and returns its name; false at the end.
  bool next(std::string& name);
  /// Reads this file; false if it has more than `limit` bytes.
  bool read(int64_t limit, std::string& bytes);

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

}  // namespace hmrnn
