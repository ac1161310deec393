#pragma once

#include <filesystem>

#include "hmrnn/export.h"

namespace hmrnn {

/// The files of a run: RUN/best/model.safetensors (lowest validation loss), RUN/best_ema/model.safetensors (the same of
/// averaged weights, where there are any), RUN/last/{model,state}.safetensors, RUN/kept/STEP/ like last/ (where asked
/// for) and RUN/metrics.jsonl.
class HMRNN_API RunFolder {
 public:
  /// Throws hmrnn::Error for an empty path; touches no file.
  explicit RunFolder(std::filesystem::path path);

  /// RUN
  const std::filesystem::path& path() const { return path_; }
  /// The model with the lowest validation loss.
  std::filesystem::path best_model() const { return path_ / "best" / "model.safetensors"; }
  /// The same of averaged weights, where there are any.
  std::filesystem::path best_ema_model() const { return path_ / "best_ema" / "model.safetensors"; }
  /// The model of the last save.
  std::filesystem::path last_model() const { return path_ / "last" / "model.safetensors"; }
  /// What a resume needs, of the last save.
  std::filesystem::path last_state() const { return path_ / "last" / "state.safetensors"; }
  /// Copies of earlier states of last/, a folder a step: RUN/kept/00001500/{model,state}.safetensors.
  std::filesystem::path kept() const { return path_ / "kept"; }
  /// The records, one JSON object a line.
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  /// Throws hmrnn::Error if a new run cannot be made here: there is one already, or the path is no folder. What a start
  /// leaves that died before its first save (folders, metrics without a line) is no run.
  void require_absent() const;
  /// There is a state here that a resume can take up.
  bool has_state() const;
  /// Throws hmrnn::Error if there is no state here that a resume could take up.
  void require_state() const;
  /// Creates the folder, best/ and last/, and best_ema/ if `averaged`, and removes what killed saves left there. Throws
  /// hmrnn::Error naming what could not be created.
  void create(bool averaged = false) const;

  /// Keeps what is in last/ as kept/STEP, and of all that are kept the `count` of the latest steps. The files are hard
  /// links, which cost no room until last/ is written anew; copies where the file system has none. Throws hmrnn::Error
  /// naming what could not be kept or removed.
  void keep(int64_t step, int64_t count) const;

  /// The model to use from `run`: its best one, else its last one; the one in it if it is such a folder (RUN/best_ema);
  /// or `run` itself if it is a file. Throws hmrnn::Error
  /// if there is none.
  static std::filesystem::path find_model(const std::filesystem::path& run);

 private:
  std::filesystem::path path_;
};

}  // namespace hmrnn
