#include "hmrnn/run/run_folder.h"

#include <algorithm>
#include <limits>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"

namespace hmrnn {

namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

/// Creates a hard link at `copy`, which must not exist, or a copy if the file system has no links.
void link_or_copy(const fs::path& file, const fs::path& copy) {
  std::error_code no_links;
  fs::create_hard_link(file, copy, no_links);
  if (no_links) fs::copy_file(file, copy);
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  if (path_.empty()) throw Error("the run folder's name is empty");
}

void RunFolder::require_absent() const {
  if (is_there(path_) && !fs::is_directory(path_)) throw Error(path_.string() + " is a file, not a folder for a run");
  for (const auto& file : {best_model(), best_ema_model(), last_model(), last_state(), metrics()}) {
    // A run that ended before its first save leaves metrics without a line.
    std::error_code error;
    if (is_there(file) && !(file == metrics() && fs::file_size(file, error) == 0 && !error)) {
      throw Error(path_.string() + " already holds a run (" + file.lexically_relative(path_).string() +
                  "); continue it with --resume or choose another folder");
    }
  }
}

bool RunFolder::has_state() const { return is_there(last_state()); }

void RunFolder::require_state() const {
  if (!has_state()) {
    throw Error(path_.string() + " holds no run to resume: there is no " + last_state().string());
  }
}

void RunFolder::create(bool averaged) const {
  std::vector<fs::path> folders = {best_model().parent_path(), last_model().parent_path()};
  if (averaged) folders.push_back(best_ema_model().parent_path());
  for (const auto& folder : folders) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw Error("cannot create the folder " + folder.string() + ": " + error.message());
    remove_stale_temporary_files(folder);
  }
}

void RunFolder::keep(int64_t step, int64_t count) const {
  auto name = std::to_string(step);
  name.insert(0, name.size() < 8 ? 8 - name.size() : 0, '0');
  const auto folder = kept() / name, made = kept() / "next";
  try {
    fs::remove_all(made);
    fs::create_directories(made);
    for (const auto& file : {last_state(), last_model()}) link_or_copy(file, made / file.filename());
    fs::remove_all(folder);  // left by a run that was then resumed from an earlier step
    fs::rename(made, folder);
    // By step, but first those beyond this one: the run was then resumed from an earlier step.
    constexpr size_t kDigits = std::numeric_limits<int64_t>::digits10 + 1;
    std::vector<std::tuple<bool, size_t, std::string>> others;
    for (const auto& entry : fs::directory_iterator(kept())) {
      const auto number = entry.path().filename().string();
      const bool ours =
          number.size() >= 8 && number.size() <= kDigits && number.find_first_not_of("0123456789") == std::string::npos;
      if (!ours || number == name || !entry.is_directory()) continue;
      const bool beyond = std::pair(number.size(), number) > std::pair(name.size(), name);
      others.emplace_back(!beyond, number.size(), number);
    }
    std::sort(others.begin(), others.end());
    for (size_t i = 0; i + static_cast<size_t>(count) < others.size() + 1; ++i) {
      fs::remove_all(kept() / std::get<2>(others[i]));
    }
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot keep " + folder.string() + ": " + error.code().message());
  }
}

void RunFolder::keep_recovery_state() const {
  const auto kept = recovery_state();
  const auto made = kept.parent_path() / "next";
  try {
    fs::create_directories(kept.parent_path());
    fs::remove(made);
    link_or_copy(last_state(), made);
    fs::rename(made, kept);
    fs::remove(made);  // rename does nothing if both names are links to one file
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot keep " + kept.string() + ": " + error.code().message());
  }
}

void RunFolder::drop_recovery_state() const {
  std::error_code stays;
  fs::remove(recovery_state(), stays);
  fs::remove(recovery_state().parent_path(), stays);
}

fs::path RunFolder::find_model(const fs::path& run) {
  if (!is_there(run)) throw Error(run.string() + " does not exist");
  if (!fs::is_directory(run)) return run;
  const RunFolder folder(run);
  for (const auto& file : {folder.best_model(), folder.last_model(), run / "model.safetensors"}) {
    if (is_there(file)) return file;
  }
  throw Error(run.string() + " holds no model: there is neither best/model.safetensors nor last/model.safetensors");
}

}  // namespace hmrnn
