#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "hmrnn/run/progress.h"
#include "hmrnn/train/trainer.h"

/// --cuda-persistent: whether a run on CUDA computes each window in one persistent kernel.
class CudaPersistent {
 public:
  /// `wanted`: on, off or auto. `dtype`: of the products; none: float32, for which there is no such kernel.
  CudaPersistent(std::string wanted, torch::Device device, std::optional<torch::ScalarType> dtype);

  /// Resolves auto to on or off and prints the choice: the faster of the two over some windows of this run, but off if
  /// the losses of these windows differ. The state of the run is not changed. Returns nothing if the value was not
  /// auto, or if the device or dtype leaves no choice.
  std::optional<std::string> choose(hmrnn::Trainer& trainer, hmrnn::Progress& progress);

  /// To be called after every step: prints once that `on` had no effect.
  void check(hmrnn::Progress& progress);

 private:
  std::string wanted_;
  bool possible_;  ///< with this device and dtype
  bool checked_ = false;
};
