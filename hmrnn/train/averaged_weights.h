#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// An exponential moving average of parameters over the updates (Polyak and Juditsky, 1992, with weights that fade):
/// after update n, average ← average + (1 − d)·(parameter − average) with d = min(decay, (1 + n) / (10 + n)), so that
/// the beginning is soon forgotten. Nothing in `update` waits for a device, and it can be part of a graph
/// (WindowGraph).
class HMRNN_API AveragedWeights {
 public:
  /// `parameters`: float32, by name; they start as their own averages. `decay` in (0, 1).
  AveragedWeights(std::vector<std::pair<std::string, torch::Tensor>> parameters, double decay);

  /// Takes the parameters in after an update; `skipped` (0-d float32, 1: the update was not made) leaves all as it is.
  void update(const torch::Tensor& skipped);

  /// Puts the averages into the parameters and keeps these aside; the destructor puts them back, bit for bit.
  class HMRNN_API InPlace {
   public:
    /// Puts the averages in place.
    explicit InPlace(AveragedWeights& weights);
    ~InPlace();
    InPlace(const InPlace&) = delete;
    InPlace& operator=(const InPlace&) = delete;

   private:
    AveragedWeights& weights_;
    std::vector<torch::Tensor> kept_;
  };

  /// Averages as `ema.NAME` and their number of updates `ema.updates` (int64, 0-d), on the CPU.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` and the tensor if one is absent or of another shape.
  void load(const SafeTensors& file, const std::string& where);

 private:
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_, averages_;
  torch::Tensor updates_;  ///< float32, 0-d
  double decay_;
};

}  // namespace hmrnn
