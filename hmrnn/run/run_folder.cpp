#include "hmrnn/run/run_folder.h"

#include <system_error>

#include "hmrnn/error.h"
#include "hmrnn/io/atomic_file.h"

namespace hmrnn {

namespace fs = std::filesystem;

namespace {

bool is_there(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

}  // namespace

RunFolder::RunFolder(fs::path path) : path_(std::move(path)) {
  if (path_.empty()) throw Error("the run folder's name is empty");
}

void RunFolder::require_absent() const {
  if (is_there(path_) && !fs::is_directory(path_)) throw Error(path_.string() + " is a file, not a folder for a run");
  for (const auto& file : {best_model(), last_model(), last_state(), metrics()}) {
    // A start that died before its first save leaves metrics without a line.
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

void RunFolder::create() const {
  for (const auto& folder : {best_model().parent_path(), last_model().parent_path()}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) throw Error("cannot create the folder " + folder.string() + ": " + error.message());
    remove_stale_temporary_files(folder);
  }
}

fs::path RunFolder::find_model(const fs::path& run) {
  if (!is_there(run)) throw Error(run.string() + " does not exist");
  if (!fs::is_directory(run)) return run;
  const RunFolder folder(run);
  for (const auto& file : {folder.best_model(), folder.last_model()}) {
    if (is_there(file)) return file;
  }
  throw Error(run.string() + " holds no model: there is neither best/model.safetensors nor last/model.safetensors");
}

}  // namespace hmrnn
