#pragma once

#include <filesystem>

#include "hmrnn/export.h"

namespace hmrnn {

/// Paths of a run's files: RUN/best/model.safetensors (lowest validation loss), RUN/best_ema/model.safetensors (the
/// same for averaged weights, if enabled), RUN/last/{model,state}.safetensors, RUN/kept/STEP/ with the same files as
/// last/ (if requested), RUN/recover/state.safetensors (with TrainerOptions::recover), and RUN/metrics.jsonl.
class HMRNN_API RunFolder {
 public:
  /// Throws hmrnn::Error for an empty path; accesses no file.
  explicit RunFolder(std::filesystem::path path);

  /// RUN
  const std::filesystem::path& path() const { return path_; }
  /// The model with the lowest validation loss.
  std::filesystem::path best_model() const { return path_ / "best" / "model.safetensors"; }
  /// The averaged weights with the lowest validation loss.
  std::filesystem::path best_ema_model() const { return path_ / "best_ema" / "model.safetensors"; }
  /// The model at the last save.
  std::filesystem::path last_model() const { return path_ / "last" / "model.safetensors"; }
  /// All that a resume needs, at the last save.
  std::filesystem::path last_state() const { return path_ / "last" / "state.safetensors"; }
  /// The state that a run with TrainerOptions::recover returns to.
  std::filesystem::path recovery_state() const { return path_ / "recover" / "state.safetensors"; }
  /// Earlier saves, one folder per step: RUN/kept/00001500/{model,state}.safetensors.
  std::filesystem::path kept() const { return path_ / "kept"; }
  /// The records, one JSON object per line.
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  /// Throws hmrnn::Error if a new run cannot start here: the folder holds a run, or the path is not a folder. Remains
  /// of a run that ended before its first save (folders, metrics without a line) are accepted.
  void require_absent() const;
  /// Whether a resume is possible: last_state() exists.
  bool has_state() const;
  /// Throws hmrnn::Error if has_state() is false.
  void require_state() const;
  /// Creates the folder, best/ and last/, and best_ema/ if `averaged`, and removes temporary files of killed saves.
  /// Throws hmrnn::Error naming what could not be created.
  void create(bool averaged = false) const;
  /// Removes what a process left that died while it copied a state (keep, keep_recovery_state). To be called with the
  /// folder locked.
  void drop_unfinished_copies() const;

  /// Keeps the files of last/ in kept/STEP, then removes all but `count` steps of kept/: first those beyond `step`,
  /// which a run has left that was then resumed from an earlier one, then the earliest. Throws hmrnn::Error naming what
  /// could not be kept or removed.
  void keep(int64_t step, int64_t count) const;
  /// Whether kept/STEP exists.
  bool is_kept(int64_t step) const;
  /// Removes the steps beyond `step` from kept/. Throws hmrnn::Error naming the folder.
  void drop_kept_beyond(int64_t step) const;

  /// Copies the state in last/ to recovery_state(). Throws hmrnn::Error naming the file.
  void keep_recovery_state() const;
  /// Removes recovery_state(), if it exists.
  void drop_recovery_state() const;

  /// The model file of `run`: best/, else last/, else the model in `run` itself (for RUN/best_ema), or `run` if it is a
  /// file. Throws hmrnn::Error if there is none.
  static std::filesystem::path find_model(const std::filesystem::path& run);

 private:
  std::filesystem::path path_;
};

}  // namespace hmrnn
