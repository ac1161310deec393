#include "hmrnn/data/tar_reader.h"

#include "hmrnn/error.h"

#ifdef HMRNN_LIBARCHIVE

#include <archive.h>
#include <archive_entry.h>

#include <new>

namespace hmrnn {

namespace {

constexpr size_t kTarBlock = 1 << 20;

}  // namespace

struct TarReader::Archive {
  explicit Archive(std::filesystem::path from) : path(std::move(from)), reader(archive_read_new(), archive_read_free) {
    if (!reader) throw std::bad_alloc();
  }
  /// Of a header ARCHIVE_WARN is let pass: it is of names' encodings.
  void check(int result) const {
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN) return;
    fail();
  }
  [[noreturn]] void fail() const {
    const char* reason = archive_error_string(reader.get());
    throw Error("cannot read " + path.string() + ": " + (reason ? reason : "unknown error"));
  }

  std::filesystem::path path;
  std::unique_ptr<archive, int (*)(archive*)> reader;
};

TarReader::TarReader(std::filesystem::path path) : archive_(std::make_unique<Archive>(std::move(path))) {
  auto* reader = archive_->reader.get();
  archive_->check(archive_read_support_filter_all(reader));
  archive_->check(archive_read_support_format_tar(reader));
  archive_->check(archive_read_open_filename(reader, archive_->path.c_str(), kTarBlock));
}

bool TarReader::next(std::string& name) {
  for (;;) {
    archive_entry* entry = nullptr;
    const int result = archive_read_next_header(archive_->reader.get(), &entry);
    if (result == ARCHIVE_EOF) return false;
    archive_->check(result);
    if (archive_entry_filetype(entry) != AE_IFREG) continue;
    const char* path = archive_entry_pathname(entry);
    name = path ? path : "";
    return true;
  }
}

bool TarReader::read(int64_t limit, std::string& bytes) {
  bytes.clear();
  for (;;) {
    const size_t before = bytes.size();
    bytes.resize(before + (before == 0 ? size_t{1} << 16 : before));
    const auto count = archive_read_data(archive_->reader.get(), bytes.data() + before, bytes.size() - before);
    if (count < 0) archive_->fail();  // ARCHIVE_WARN too: of data it says that they are not all there
    bytes.resize(before + static_cast<size_t>(count));
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
bool TarReader::read(int64_t, std::string&) { return false; }
TarReader::~TarReader() = default;

}  // namespace hmrnn

#endif
