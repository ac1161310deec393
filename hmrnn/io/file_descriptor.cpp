#include "hmrnn/io/file_descriptor.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "hmrnn/error.h"

namespace hmrnn {

int FileDescriptor::close() {
  const int descriptor = release();
  if (descriptor < 0 || ::close(descriptor) == 0) return 0;
  // Linux closes the descriptor even if it reports EINTR: a second close could hit a descriptor of another thread.
  return errno == EINTR ? 0 : errno;
}

int FileDescriptor::release() { return std::exchange(descriptor_, -1); }

int open_file(const std::filesystem::path& path, int flags, unsigned mode) {
  int descriptor;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  } while (descriptor < 0 && errno == EINTR);
  return descriptor;
}

int write_fully(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    if (written == 0) return EIO;  // never happens for a regular file; avoids an endless loop
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

int read_fully(int descriptor, void* data, size_t size, size_t* count) {
  *count = 0;
  while (*count < size) {
    const ssize_t got = ::read(descriptor, static_cast<char*>(data) + *count, size - *count);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno;
    if (got == 0) break;
    *count += static_cast<size_t>(got);
  }
  return 0;
}

int sync_file(int descriptor) {
  while (::fsync(descriptor) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

void throw_errno(const std::filesystem::path& path, const std::string& what, int error) {
  throw Error(path.string() + ": " + what + ": " + std::generic_category().message(error));
}

}  // namespace hmrnn
