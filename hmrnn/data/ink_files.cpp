#include "hmrnn/data/ink_files.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "hmrnn/error.h"
#include "hmrnn/io/file_descriptor.h"

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

constexpr size_t kBlock = 1 << 20;
constexpr int64_t kLimit = int64_t{64} << 20;

bool is_ink_name(const fs::path& path) { return path.extension() == ".xml" && path.filename().string()[0] != '.'; }

[[noreturn]] void too_large(const std::string& path) {
  throw Error(fmt::format("{} has more than {} MiB, which no line of handwriting has", path, kLimit >> 20));
}

/// Calls `take` with each block of a file.
template <typename Take>
void read_blocks(const fs::path& path, const Take& take) {
  const FileDescriptor file(open_file(path, O_RDONLY));
  if (!file.valid()) throw_errno(path, "cannot open", errno);
  std::vector<char> block(kBlock);
  for (size_t count = 0;;) {
    if (const int error = read_fully(file.get(), block.data(), block.size(), &count))
      throw_errno(path, "cannot read", error);
    if (count > 0) take(std::string_view(block.data(), count));
    if (count < block.size()) return;
  }
}

/// Paths relative to the folder, in the order of their names.
std::vector<fs::path> list_files(const fs::path& folder) try {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (is_ink_name(entry.path()) && entry.is_regular_file()) out.push_back(entry.path().lexically_relative(folder));
  }
  std::sort(out.begin(), out.end());
  return out;
} catch (const fs::filesystem_error& error) {
  throw Error("cannot read " + error.path1().string() + ": " + error.code().message());
}

class TarReader {
 public:
  explicit TarReader(fs::path path) : path_(std::move(path)), reader_(archive_read_new(), archive_read_free) {
    if (!reader_) throw std::bad_alloc();
    check(archive_read_support_filter_all(reader_.get()));
    check(archive_read_support_format_tar(reader_.get()));
    check(archive_read_open_filename(reader_.get(), path_.c_str(), kBlock));
  }

  /// The next regular file; false at the end.
  bool next(std::string& name) {
    for (;;) {
      archive_entry* entry = nullptr;
      const int result = archive_read_next_header(reader_.get(), &entry);
      if (result == ARCHIVE_EOF) return false;
      check(result);
      if (archive_entry_filetype(entry) != AE_IFREG) continue;
      const char* path = archive_entry_pathname(entry);
      name = path ? path : "";
      return true;
    }
  }

  void read(const std::string& name, std::string& bytes) {
    bytes.clear();
    for (;;) {
      const size_t before = bytes.size();
      bytes.resize(before + (before == 0 ? size_t{1} << 16 : before));
      const auto count = archive_read_data(reader_.get(), bytes.data() + before, bytes.size() - before);
      if (count < 0) check(static_cast<int>(count));
      bytes.resize(before + static_cast<size_t>(std::max<la_ssize_t>(count, 0)));
      if (count <= 0) return;
      if (static_cast<int64_t>(bytes.size()) > kLimit) too_large(path_.string() + ": " + name);
    }
  }

 private:
  void check(int result) const {
    if (result == ARCHIVE_OK || result == ARCHIVE_WARN) return;  // a warning is of names' encodings
    const char* reason = archive_error_string(reader_.get());
    throw Error("cannot read " + path_.string() + ": " + (reason ? reason : "unknown error"));
  }

  fs::path path_;
  std::unique_ptr<archive, int (*)(archive*)> reader_;
};

}  // namespace

InkSource find_ink_source(const fs::path& data_dir) {
  std::error_code error;
  const auto status = fs::status(data_dir, error);
  if (!fs::exists(status)) throw Error("cannot open " + data_dir.string() + ": " + error.message());
  if (!fs::is_directory(status)) return {data_dir, data_dir.parent_path()};
  if (fs::is_directory(data_dir / "lineStrokes", error)) return {data_dir / "lineStrokes", data_dir};
  for (const char* name : {"lineStrokes-all.tar.xz", "lineStrokes-all.tar.gz", "lineStrokes-all.tar"}) {
    if (fs::exists(data_dir / name, error)) return {data_dir / name, data_dir};
  }
  if (list_files(data_dir).empty()) {
    throw Error("neither lineStrokes, lineStrokes-all.tar.xz nor any .xml file is in " + data_dir.string());
  }
  return {data_dir, data_dir};
}

void visit_ink_files(const InkSource& source,
                     const std::function<void(const std::string& path, std::string_view bytes)>& visit) {
  std::string bytes;
  std::error_code ignored;
  if (fs::is_directory(source.path, ignored)) {
    for (const auto& file : list_files(source.path)) {
      const auto path = source.path / file;
      bytes.clear();
      read_blocks(path, [&](std::string_view block) {
        bytes.append(block);
        if (static_cast<int64_t>(bytes.size()) > kLimit) too_large(path.string());
      });
      visit(file.string(), bytes);
    }
    return;
  }
  TarReader reader(source.path);
  for (std::string name; reader.next(name);) {
    if (!is_ink_name(name)) continue;
    reader.read(name, bytes);
    visit(name, bytes);
  }
}

std::string ink_content_key(const InkSource& source) {
  const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(), XXH3_freeState);
  if (!state) throw std::bad_alloc();
  XXH3_128bits_reset(state.get());
  const auto add = [&](std::string_view bytes) { XXH3_128bits_update(state.get(), bytes.data(), bytes.size()); };
  std::error_code ignored;
  if (fs::is_directory(source.path, ignored)) {
    for (const auto& file : list_files(source.path)) {
      uint64_t size = 0;
      add(file.string());
      read_blocks(source.path / file, [&](std::string_view block) {
        add(block);
        size += block.size();
      });
      add(fmt::format("\n{}\n", size));  // so that no byte can pass from one file to the next unseen
    }
  } else {
    read_blocks(source.path, add);
  }
  const auto digest = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

}  // namespace hmrnn
