#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace hmrnn {

/// Reads the files of a tar archive in order, with any compression that libarchive knows.
class TarReader {
 public:
  /// All functions throw hmrnn::Error naming the archive if it cannot be read: it is not a regular file, is damaged, is
  /// truncated (also between two of its files), or is a decompression bomb; or the library was built without
  /// libarchive.
  explicit TarReader(std::filesystem::path path);
  ~TarReader();

  /// Advances to the next file, which is whatever is no folder, and returns its name; false at the end.
  bool next(std::string& name);
  /// What this file is if it is not regular, "a symbolic link"; else empty. A hard link that holds the data of its file
  /// counts as regular.
  std::string_view special_kind() const;
  /// Reads this file, which is regular; false if it has more than `limit` bytes.
  bool read(int64_t limit, std::string& bytes);

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

}  // namespace hmrnn
