#include "hmrnn/io/whole_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <new>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/machine_limits.h"

namespace hmrnn {
namespace {

constexpr size_t kReadSize = 1 << 20;  // bytes read at a time
constexpr uint64_t kFreeSize = uint64_t{256} << 20, kGreatestRatio = 200;

std::string text_of(int error) { return std::generic_category().message(error); }

}  // namespace

int open_regular_file(const std::filesystem::path& path) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer. For a regular file it has no effect.
  FileDescriptor file(open_file(path, O_RDONLY | O_NONBLOCK));
  if (!file.valid()) throw Error("cannot open " + path.string() + ": " + text_of(errno));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) throw Error("cannot read " + path.string() + ": " + text_of(errno));
  if (S_ISDIR(status.st_mode)) throw Error(path.string() + " is a folder, not a file");
  if (!S_ISREG(status.st_mode)) throw Error(path.string() + " is not a regular file");
  return file.release();
}

std::string read_whole_file(const std::filesystem::path& path) {
  const FileDescriptor file(open_regular_file(path));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) throw Error("cannot read " + path.string() + ": " + text_of(errno));
  const auto too_large = [&] {
    return Error(path.string() + ": not enough memory for its " + std::to_string(status.st_size) + " bytes");
  };
  // Linux overcommits memory and kills the process that uses too much, so bad_alloc is not enough.
  if (status.st_size > available_memory().value_or(std::numeric_limits<int64_t>::max())) throw too_large();
  try {
    std::string bytes;
    bytes.reserve(static_cast<size_t>(status.st_size));
    std::vector<char> block(kReadSize);
    for (size_t count = kReadSize; count == kReadSize;) {
      if (const int error = read_fully(file.get(), block.data(), block.size(), &count)) {
        throw Error("cannot read " + path.string() + ": " + text_of(error));
      }
      bytes.append(block.data(), count);
    }
    return bytes;
  } catch (const std::bad_alloc&) {
  } catch (const std::length_error&) {
  }
  throw too_large();
}

void limit_decompression(const std::filesystem::path& path, uint64_t file_size, uint64_t bytes) {
  if (bytes <= kFreeSize || bytes / kGreatestRatio <= file_size) return;
  throw Error(path.string() + " decompresses to more than " + std::to_string(kFreeSize >> 20) + " MiB and " +
              std::to_string(kGreatestRatio) + " times its own size, which no honest file does");
}

}  // namespace hmrnn
