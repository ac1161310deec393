#include "hmrnn/data/tar_reader.h"

#include "hmrnn/error.h"

#ifdef HMRNN_LIBARCHIVE

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <new>
#include <utility>

#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/whole_file.h"

namespace hmrnn {

namespace {

constexpr size_t kTarBlock = 1 << 20;
constexpr uint64_t kTarRecord = 512;

/// What a member is if it has no data of its own; empty for a regular file.
std::string_view kind_of_member(archive_entry* entry) {
  // The pax format allows a hard link to hold its file's data; libarchive sets the size of any other to 0.
  if (archive_entry_hardlink(entry) && archive_entry_size(entry) == 0) return "a hard link without data";
  const auto type = archive_entry_filetype(entry);
  if (type == AE_IFREG) return {};
  if (type == AE_IFLNK) return "a symbolic link";
  if (type == AE_IFIFO) return "a named pipe";
  return type == AE_IFCHR || type == AE_IFBLK ? "a device" : "something else";
}

}  // namespace

struct TarReader::Archive {
  explicit Archive(std::filesystem::path from)
      : path(std::move(from)), file(open_regular_file(path)), reader(archive_read_new(), archive_read_free) {
    if (!reader) throw std::bad_alloc();
    struct stat status;
    if (::fstat(file.get(), &status) != 0) throw_errno(path, "cannot read", errno);
    size = static_cast<uint64_t>(status.st_size);
  }
  void check(int result) const {
    if (result != ARCHIVE_OK) fail();
  }
  /// For a header, ARCHIVE_WARN is accepted: it concerns the encoding of names.
  void check_header(int result) const {
    if (result != ARCHIVE_WARN) check(result);
  }
  [[noreturn]] void fail() const {
    const char* reason = archive_error_string(reader.get());
    throw Error("cannot read " + path.string() + ": " + (reason ? reason : "unknown error"));
  }

  /// Number of uncompressed bytes read so far.
  uint64_t position() const {
    const auto bytes = static_cast<uint64_t>(std::max<la_int64_t>(archive_filter_bytes(reader.get(), 0), 0));
    limit_decompression(path, size, bytes);
    return bytes;
  }
  /// Skips to the end of the current file block by block, so that the decompression limit is checked on the way (the
  /// size in a member's header cannot be trusted).
  void skip() {
    const void* block = nullptr;
    size_t count = 0;
    la_int64_t offset = 0;
    for (;;) {
      const int result = archive_read_data_block(reader.get(), &block, &count, &offset);
      if (result == ARCHIVE_EOF) break;
      check(result);
      position();
    }
    check(archive_read_data_skip(reader.get()));  // padding after the data
  }

  std::filesystem::path path;
  FileDescriptor file;
  uint64_t size = 0;      ///< size of the archive as stored
  bool in_file = false;   ///< the header of a file was read, its data was not skipped yet
  std::string_view kind;  ///< what the current file is if it is not regular
  std::unique_ptr<archive, int (*)(archive*)> reader;
};

TarReader::TarReader(std::filesystem::path path) : archive_(std::make_unique<Archive>(std::move(path))) {
  auto* reader = archive_->reader.get();
  archive_->check(archive_read_support_filter_all(reader));
  archive_->check(archive_read_support_format_tar(reader));
  // A file may contain several concatenated archives; without this option all but the first would be silently ignored.
  archive_->check(archive_read_set_option(reader, "tar", "read_concatenated_archives", "1"));
  archive_->check(archive_read_open_fd(reader, archive_->file.get(), kTarBlock));
}

bool TarReader::next(std::string& name) {
  for (;;) {
    if (std::exchange(archive_->in_file, false)) archive_->skip();
    const auto before = archive_->position();
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_->reader.get(), &entry);
    if (result == ARCHIVE_EOF) {
      // An archive ends with empty blocks, but libarchive also accepts the end of the file in their place.
      if (archive_->position() - before < kTarRecord) {
        throw Error("cannot read " + archive_->path.string() + ": it is cut off: its end mark is missing");
      }
      return false;
    }
    archive_->check_header(result);
    archive_->in_file = true;
    if (archive_entry_filetype(entry) == AE_IFDIR) continue;  // its files are members too
    archive_->kind = kind_of_member(entry);
    const char* path = archive_entry_pathname(entry);
    name = path ? path : "";
    return true;
  }
}

std::string_view TarReader::special_kind() const { return archive_->kind; }

bool TarReader::read(int64_t limit, std::string& bytes) {
  bytes.clear();
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(before + (before == 0 ? size_t{1} << 16 : before));
    const auto count = archive_read_data(archive_->reader.get(), bytes.data() + before, bytes.size() - before);
    if (count < 0) archive_->fail();  // ARCHIVE_WARN is negative too: it means here that data are missing
    bytes.resize(before + static_cast<size_t>(count));
    archive_->position();
    if (count == 0) return true;
    if (static_cast<int64_t>(bytes.size()) > limit) return false;
  }
}

TarReader::~TarReader() = default;

}  // namespace hmrnn

#else

namespace hmrnn {

struct TarReader::Archive {};

TarReader::TarReader(std::filesystem::path path) {
  throw Error("cannot read " + path.string() + ": this build is without libarchive; unpack it");
}
bool TarReader::next(std::string&) { return false; }
std::string_view TarReader::special_kind() const { return {}; }
bool TarReader::read(int64_t, std::string&) { return false; }
TarReader::~TarReader() = default;

}  // namespace hmrnn

#endif
