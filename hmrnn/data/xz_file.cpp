#include "hmrnn/data/xz_file.h"

#include "hmrnn/error.h"

#ifdef HMRNN_LIBARCHIVE

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <new>
#include <vector>

#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/whole_file.h"

namespace hmrnn {

namespace {

constexpr size_t kXzBlock = 1 << 20;  // bytes read at a time

}  // namespace

bool has_libarchive() { return true; }

std::string read_xz_file(const std::filesystem::path& path) {
  const FileDescriptor file(open_regular_file(path));
  struct stat status;
  if (::fstat(file.get(), &status) != 0) throw_errno(path, "cannot read", errno);
  const std::unique_ptr<archive, int (*)(archive*)> reader(archive_read_new(), archive_read_free);
  if (!reader) throw std::bad_alloc();
  const auto fail = [&]() -> Error {
    const char* reason = archive_error_string(reader.get());
    return Error("cannot decompress " + path.string() + ": " + (reason ? reason : "unknown error"));
  };
  if (archive_read_support_filter_xz(reader.get()) != ARCHIVE_OK ||
      archive_read_support_format_raw(reader.get()) != ARCHIVE_OK ||
      archive_read_support_format_empty(reader.get()) != ARCHIVE_OK ||
      archive_read_open_fd(reader.get(), file.get(), kXzBlock) != ARCHIVE_OK) {
    throw fail();
  }
  archive_entry* entry = nullptr;  // the raw format has one entry, the empty format has none
  const int header = archive_read_next_header(reader.get(), &entry);
  if (header == ARCHIVE_EOF) return {};
  if (header != ARCHIVE_OK) throw fail();
  // Without this check a file that is not compressed but named .xz would be returned unchanged.
  if (archive_filter_code(reader.get(), 0) != ARCHIVE_FILTER_XZ) throw Error(path.string() + " is not an xz file");

  std::string bytes;
  std::vector<char> block(kXzBlock);
  for (;;) {
    const auto count = archive_read_data(reader.get(), block.data(), block.size());
    if (count < 0) throw fail();
    if (count == 0) return bytes;
    bytes.append(block.data(), static_cast<size_t>(count));
    limit_decompression(path, static_cast<uint64_t>(status.st_size), bytes.size());
  }
}

}  // namespace hmrnn

#else

namespace hmrnn {

bool has_libarchive() { return false; }

std::string read_xz_file(const std::filesystem::path& path) {
  throw Error("cannot read " + path.string() + ": this build is without libarchive; unpack it");
}

}  // namespace hmrnn

#endif
