#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace hmrnn {

/// Owns a POSIX file descriptor. Internal to hmrnn/io: not part of what libhmrnn shows.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  /// Closes once; returns 0 or the errno.
  int close();
  /// Gives up ownership.
  int release();

 private:
  int descriptor_;
};

/// open(2) with O_CLOEXEC, repeated when a signal interrupts it; -1 and errno on failure.
int open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

/// Writes all of `bytes`, however many write(2) calls that takes. Returns 0 or the errno.
int write_fully(int descriptor, std::string_view bytes);

/// Reads up to `size` bytes, fewer only at the end of the file. Returns 0 or the errno; `*count` is what was read.
int read_fully(int descriptor, void* data, size_t size, size_t* count);

/// fsync(2), repeated when a signal interrupts it. Returns 0 or the errno.
int sync_file(int descriptor);

/// Throws hmrnn::Error "PATH: what: text of the errno".
[[noreturn]] void throw_errno(const std::filesystem::path& path, const std::string& what, int error);

}  // namespace hmrnn
