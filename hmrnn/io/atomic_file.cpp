#include "hmrnn/io/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <random>
#include <string>
#include <string_view>

#include "hmrnn/error.h"
#include "hmrnn/io/file_descriptor.h"

namespace hmrnn {
namespace {

constexpr size_t kBufferSize = size_t{1} << 18;

constexpr std::string_view kTemporaryMark = ".tmp-";

/// How the names of the temporary files of the file `name` begin. A file name has at most 255 bytes, with what follows.
std::string temporary_stem(const std::string& name) {
  return std::string(".").append(name, 0, 200).append(kTemporaryMark);
}

/// A new file beside `target`; the destructor removes it unless it was renamed.
class TemporaryFile {
 public:
  TemporaryFile(const std::filesystem::path& target, const std::filesystem::path& folder) : target_(target) {
    const std::string stem = temporary_stem(target.filename().string());
    std::random_device random;
    for (int attempt = 0; attempt < 100; ++attempt) {
      char tail[9];
      std::snprintf(tail, sizeof tail, "%08x", static_cast<unsigned>(random()));
      const std::filesystem::path candidate = folder / (stem + tail);
      const int descriptor = open_file(candidate, O_WRONLY | O_CREAT | O_EXCL, 0666);
      if (descriptor >= 0) {
        // The lock protects the file from remove_stale_temporary_files of other processes. On a file system without
        // locks their flock fails as well, so they remove nothing.
        (void)!::flock(descriptor, LOCK_EX | LOCK_NB);
        descriptor_ = descriptor;
        path_ = candidate;
        return;
      }
      if (errno != EEXIST) break;
    }
    throw_errno(target, "cannot create a temporary file beside it", errno);
  }
  ~TemporaryFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(std::string_view bytes) {
    if (buffer_.size() + bytes.size() > kBufferSize) flush();
    if (bytes.size() > kBufferSize) {
      write(bytes);  // tensors bypass the buffer
    } else {
      buffer_.append(bytes);
    }
  }

  /// Syncs the file to disk, then renames it to the target.
  void commit() {
    flush();
    if (const int error = sync_file(descriptor_)) throw_errno(target_, "cannot write", error);
    FileDescriptor descriptor(descriptor_);
    descriptor_ = -1;
    if (const int error = descriptor.close()) throw_errno(target_, "cannot write", error);
    if (::rename(path_.c_str(), target_.c_str()) != 0) throw_errno(target_, "cannot replace", errno);
    path_.clear();
  }

 private:
  void flush() {
    write(buffer_);
    buffer_.clear();
  }
  void write(std::string_view bytes) {
    if (const int error = write_fully(descriptor_, bytes)) throw_errno(target_, "cannot write", error);
  }

  std::filesystem::path target_;
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::string buffer_;
};

bool is_temporary_name(const std::string& name) {
  const auto at = name.rfind(kTemporaryMark);
  return name.size() > 2 && name[0] == '.' && at != std::string::npos && at > 1 &&
         name.size() == at + kTemporaryMark.size() + 8 &&
         name.find_first_not_of("0123456789abcdef", at + kTemporaryMark.size()) == std::string::npos;
}

}  // namespace

void remove_stale_temporary_files(const std::filesystem::path& folder, const std::string& name) {
  const std::string stem = name.empty() ? "" : temporary_stem(name);
  constexpr time_t kRecent = 10;  // seconds; covers the time between creating a file and locking it
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string found = entry->path().filename().string();
    if (!is_temporary_name(found)) continue;
    if (!name.empty() && found.compare(0, found.size() - 8, stem) != 0) continue;
    const FileDescriptor file(open_file(entry->path(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    struct stat status;
    if (!file.valid() || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    const auto age = ::time(nullptr) - status.st_mtime;
    if (age >= 0 && age < kRecent) continue;
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
  }
}

void write_file_atomically(const std::filesystem::path& path,
                           const std::function<void(const std::function<void(std::string_view)>&)>& write) {
  if (!path.has_filename()) throw Error(path.string() + ": cannot write: not the name of a file");
  // A rename would silently replace a device, a socket or a pipe, or a link to one such as /dev/stdout, by a regular
  // file.
  struct stat status;
  std::error_code no_link;
  const auto target = std::filesystem::read_symlink(path, no_link).string();
  const bool descriptor = target.starts_with("/proc/");  // /dev/stdout: it is what the shell has redirected
  if (descriptor || (::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode))) {
    throw Error(path.string() + ": cannot write: not a regular file");
  }
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const FileDescriptor folder_descriptor(open_file(folder, O_RDONLY | O_DIRECTORY));
  if (!folder_descriptor.valid()) throw_errno(path, "cannot open its folder", errno);

  remove_stale_temporary_files(folder, path.filename().string());
  TemporaryFile file(path, folder);
  write([&file](std::string_view bytes) { file.append(bytes); });
  file.commit();

  // Some network and FUSE file systems do not support fsync of folders.
  const int error = sync_file(folder_descriptor.get());
  if (error != 0 && error != EINVAL && error != ENOTSUP && error != ENOSYS) {
    throw_errno(path, "written, but its folder cannot be synced", error);
  }
}

}  // namespace hmrnn
