#include "hmrnn/run/run_folder.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
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

/// Replaces `to` by the contents of `from`. Not by a hard link: whoever copies another save over last/ would overwrite
/// both.
void copy_contents(const fs::path& from, const fs::path& to) {
  std::ifstream in(from, std::ios::binary);
  write_file_atomically(to, [&](const auto& sink) {
    std::vector<char> block(1 << 20);
    while (in.read(block.data(), static_cast<std::streamsize>(block.size())) || in.gcount() > 0) {
      sink(std::string_view(block.data(), static_cast<size_t>(in.gcount())));
    }
    if (!in.eof()) throw Error("cannot read " + from.string());
  });
}

/// `step` as the name of a folder in kept/: at least 8 digits.
std::string name_of(int64_t step) {
  auto name = std::to_string(step);
  return name.insert(0, name.size() < 8 ? 8 - name.size() : 0, '0');
}

/// Names sort like their steps as pairs of length and digits.
std::pair<size_t, std::string> order_of(const std::string& name) { return {name.size(), name}; }

/// The steps in `kept`, by their folders' names; anything else in it is not ours.
std::vector<std::string> kept_steps(const fs::path& kept) {
  constexpr size_t kDigits = std::numeric_limits<int64_t>::digits10 + 1;
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(kept)) {
    const auto name = entry.path().filename().string();
    const bool ours =
        name.size() >= 8 && name.size() <= kDigits && name.find_first_not_of("0123456789") == std::string::npos;
    if (ours && entry.is_directory()) out.push_back(name);
  }
  return out;
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  if (path_.empty()) throw Error("the run folder's name is empty");
}

void RunFolder::require_absent() const {
  if (is_there(path_) && !fs::is_directory(path_)) throw Error(path_.string() + " is a file, not a folder for a run");
  for (const auto& file : {best_model(), best_ema_model(), last_model(), last_state(), metrics(), kept()}) {
    // A run that ended before its first save leaves metrics without a line.
    std::error_code error;
    const bool may_be_empty = file == metrics() || file == kept();
    if (is_there(file) && !(may_be_empty && fs::is_empty(file, error) && !error)) {
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

void RunFolder::drop_unfinished_copies() const {
  std::error_code stays;
  fs::remove_all(kept() / "next", stays);
  const auto recovery = recovery_state().parent_path();
  if (fs::is_directory(recovery, stays)) remove_stale_temporary_files(recovery);
}

void RunFolder::keep(int64_t step, int64_t count) const {
  const auto name = name_of(step);
  const auto folder = kept() / name, made = kept() / "next";
  try {
    fs::remove_all(made);
    fs::create_directories(made);
    for (const auto& file : {last_state(), last_model()}) copy_contents(file, made / file.filename());
    fs::remove_all(folder);  // left by a run that was then resumed from an earlier step
    fs::rename(made, folder);
    // By step, but first those beyond this one: the run was then resumed from an earlier step.
    std::vector<std::pair<bool, std::pair<size_t, std::string>>> others;
    for (const auto& other : kept_steps(kept())) {
      if (other != name) others.emplace_back(order_of(other) < order_of(name), order_of(other));
    }
    std::sort(others.begin(), others.end());
    for (size_t i = 0; i + static_cast<size_t>(count) < others.size() + 1; ++i) {
      fs::remove_all(kept() / others[i].second.second);
    }
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot keep " + folder.string() + ": " + error.code().message());
  } catch (const Error& error) {
    throw Error("cannot keep " + folder.string() + ": " + error.what());
  }
}

bool RunFolder::is_kept(int64_t step) const { return is_there(kept() / name_of(step)); }

void RunFolder::drop_kept_beyond(int64_t step) const {
  if (!is_there(kept())) return;
  try {
    for (const auto& other : kept_steps(kept())) {
      if (order_of(other) > order_of(name_of(step))) fs::remove_all(kept() / other);
    }
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot remove later steps from " + kept().string() + ": " + error.code().message());
  }
}

void RunFolder::keep_recovery_state() const {
  try {
    fs::create_directories(recovery_state().parent_path());
    copy_contents(last_state(), recovery_state());
  } catch (const fs::filesystem_error& error) {
    throw Error("cannot keep " + recovery_state().string() + ": " + error.code().message());
  } catch (const Error& error) {
    throw Error("cannot keep " + recovery_state().string() + ": " + error.what());
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
