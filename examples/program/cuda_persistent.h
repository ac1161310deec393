#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "hmrnn/run/progress.h"
#include "hmrnn/train/trainer.h"

/// --cuda-persistent: how the windows of a run on CUDA are computed.
class CudaPersistent {
 public:
  /// `wanted`: on, off or auto. `dtype` of products; none: float32, in which there is no such kernel.
  CudaPersistent(std::string wanted, torch::Device device, std::optional<torch::ScalarType> dtype);

  /// What auto becomes, on or off: whichever of the two some windows of this run took less time with, and off where
  /// they come to another loss with it; it is said. The run stays where it was. Nothing where there is no choice to
  /// make.
  std::optional<std::string> choose(hmrnn::Trainer& trainer, hmrnn::Progress& progress);

  /// To be asked after every step: says once that `on` has not been possible.
  void check(hmrnn::Progress& progress);

 private:
  std::string wanted_;
  bool possible_;  ///< on this device and with this dtype
  bool checked_ = false;
};
