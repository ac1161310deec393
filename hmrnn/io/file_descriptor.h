#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace hmrnn {

/// Owns a POSIX file descriptor. Internal to hmrnn/io, not exported from libhmrnn.
class FileDescriptor {
 public:
  explicit FileDescriptor(int descriptor = -1) : descriptor_(descriptor) {}
  ~FileDescriptor() { close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return descriptor_; }
  bool valid() const { return descriptor_ >= 0; }
  /// Closes the descriptor if it is open; returns 0 or the errno.
  int close();
  /// Returns the descriptor and gives up ownership.
  int release();

 private:
  int descriptor_;
};

/// open(2) with O_CLOEXEC, retried on EINTR; -1 and errno on failure.
int open_file(const std::filesystem::path& path, int flags, unsigned mode = 0);

/// Writes all of `bytes`, with as many calls of write(2) as needed. Returns 0 or the errno.
int write_fully(int descriptor, std::string_view bytes);

/// Reads `size` bytes, fewer only at the end of the file. Returns 0 or the errno; `*count` is the number of bytes read.
int read_fully(int descriptor, void* data, size_t size, size_t* count);

/// fsync(2), retried on EINTR. Returns 0 or the errno.
int sync_file(int descriptor);

/// Throws hmrnn::Error "PATH: what: message of the errno".
[[noreturn]] void throw_errno(const std::filesystem::path& path, const std::string& what, int error);

}  // namespace hmrnn
