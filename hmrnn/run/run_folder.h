#pragma once

#include <filesystem>

#include "hmrnn/export.h"

namespace hmrnn {

/// The files of a run: RUN/best/model.safetensors (lowest validation loss), RUN/last/{model,state}.safetensors and
/// RUN/metrics.jsonl.
class HMRNN_API RunFolder {
 public:
  explicit RunFolder(std::filesystem::path path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path best_model() const { return path_ / "best" / "model.safetensors"; }
  std::filesystem::path last_model() const { return path_ / "last" / "model.safetensors"; }
  std::filesystem::path last_state() const { return path_ / "last" / "state.safetensors"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }

  /// Throws hmrnn::Error if a new run cannot be made here: there is one already, or the path is no folder. What a start
  /// leaves that died before its first save (folders, metrics without a line) is no run.
  void require_absent() const;
  /// There is a state here that a resume can take up.
  bool has_state() const;
  /// Throws hmrnn::Error if there is no state here that a resume could take up.
  void require_state() const;
  /// Creates the folder, best/ and last/, and removes what killed saves left there. Throws hmrnn::Error naming what
  /// could not be created.
  void create() const;

  /// The model to use from `run`: its best one, else its last one; or `run` itself if it is a file. Throws hmrnn::Error
  /// if there is none.
  static std::filesystem::path find_model(const std::filesystem::path& run);

 private:
  std::filesystem::path path_;
};

}  // namespace hmrnn
