#include "hmrnn/data/ink_files.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>
#undef XXH_INLINE_ALL

#include "hmrnn/data/tar_reader.h"
#include "hmrnn/error.h"
#include "hmrnn/io/file_descriptor.h"
#include "hmrnn/io/whole_file.h"

namespace hmrnn {
namespace fs = std::filesystem;
namespace {

constexpr size_t kInkBlock = 1 << 20;
constexpr int64_t kLimit = int64_t{64} << 20;

bool is_ink_name(const fs::path& path) { return path.extension() == ".xml" && path.filename().string()[0] != '.'; }

/// Whether a link that leads nowhere may have led to the folder of a form, whose name has no extension.
bool may_be_folder(const fs::path& path) { return !path.has_extension() && path.filename().string()[0] != '.'; }

std::string too_large() { return fmt::format(" has more than {} MiB, which no line of handwriting has", kLimit >> 20); }

/// Calls `take` with each block of a file.
template <typename Take>
void read_blocks(const fs::path& path, const Take& take) {
  const FileDescriptor file(open_regular_file(path));
  std::vector<char> block(kInkBlock);
  for (size_t count = 0;;) {
    if (const int error = read_fully(file.get(), block.data(), block.size(), &count))
      throw_errno(path, "cannot read", error);
    if (count > 0) take(std::string_view(block.data(), count));
    if (count < block.size()) return;
  }
}

/// Reads a file. Returns its error, worded so that it can follow the file's name; empty: none.
std::string read_ink(const fs::path& path, std::string& bytes) {
  std::error_code error;
  // The size is checked first, so that a huge file is refused before it is read.
  const auto size = fs::file_size(path, error);
  if (!error && size > static_cast<uint64_t>(kLimit)) return too_large();
  try {
    read_blocks(path, [&](std::string_view block) { bytes.append(block); });
    return {};
  } catch (const Error& caught) {
    std::string what = caught.what();
    if (const auto at = what.find(path.string()); at != std::string::npos) what.replace(at, path.string().size(), "it");
    return ": " + what;
  }
}

/// Paths relative to the folder, in the order of their names. They include what read_ink refuses: pipes and devices
/// called .xml, and links that lead nowhere; left out, they would be missing from the corpus without a word.
std::vector<fs::path> list_files(const fs::path& folder) {
  std::vector<fs::path> out;
  std::set<fs::path> folders = {folder}, links;  // folders to search, and links to folders
  std::set<fs::path> searched;  // their paths without links: a link to a parent is not followed forever
  while (!folders.empty() || !links.empty()) {
    // Links come last, so that a folder that can be reached without a link keeps its path.
    auto& next = folders.empty() ? links : folders;
    const fs::path here = *next.begin();
    next.erase(next.begin());
    std::error_code error;
    const auto real = fs::canonical(here, error);
    if (!error && !searched.insert(real).second) continue;
    auto entry = error ? fs::directory_iterator() : fs::directory_iterator(here, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      const auto& path = entry->path();
      std::error_code lost;  // of a link that leads nowhere
      if (entry->is_directory(lost)) {
        (entry->is_symlink(lost) ? links : folders).insert(path);
      } else if (is_ink_name(path) || (lost && may_be_folder(path))) {
        out.push_back(path.lexically_relative(folder));
      }
    }
    if (error) throw Error("cannot read " + here.string() + ": " + error.message());
  }
  std::sort(out.begin(), out.end());
  return out;
}

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
                     const std::function<void(const std::string& path, std::string_view bytes)>& visit,
                     const std::function<void(const std::string& path, const std::string& what)>& refuse) {
  const auto refuse_file = [&](const std::string& path, const std::string& shown, const std::string& what) {
    if (!refuse) throw Error(shown + what);
    refuse(path, what);
  };
  std::string bytes;
  std::error_code ignored;
  if (fs::is_directory(source.path, ignored)) {
    for (const auto& file : list_files(source.path)) {
      const auto path = source.path / file;
      bytes.clear();
      const std::string wrong = read_ink(path, bytes);
      if (wrong.empty()) {
        visit(file.string(), bytes);
      } else {
        refuse_file(file.string(), path.string(), wrong);
      }
    }
    return;
  }
  TarReader reader(source.path);
  for (std::string name; reader.next(name);) {
    if (!is_ink_name(name)) continue;
    std::string wrong;
    if (const auto kind = reader.special_kind(); !kind.empty()) {
      wrong = fmt::format(" is {}, not a regular file", kind);
    } else if (!reader.read(kLimit, bytes)) {
      wrong = too_large();
    }
    if (wrong.empty()) {
      visit(name, bytes);
    } else {
      refuse_file(name, source.path.string() + ": " + name, wrong);
    }
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
      std::string bytes;
      const auto wrong = read_ink(source.path / file, bytes);
      add(file.string());
      add(bytes);
      add(fmt::format("\n{}{}\n", bytes.size(), wrong));  // the size, so that files cannot be confused
    }
  } else {
    read_blocks(source.path, add);
  }
  const auto digest = XXH3_128bits_digest(state.get());
  return fmt::format("{:016x}{:016x}", digest.high64, digest.low64);
}

}  // namespace hmrnn
