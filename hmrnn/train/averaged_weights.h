#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// An exponential moving average of parameters over the updates (a variant of Polyak and Juditsky, 1992): after update
/// n, average ← average + (1 − d)·(parameter − average) with d = min(decay, (1 + n) / (10 + n)), so that the initial
/// values soon lose their weight. `update` does not wait for the device and can be part of a graph (WindowGraph).
class HMRNN_API AveragedWeights {
 public:
  /// `parameters`: float32, by name, none twice; the averages start with their values. `decay` in (0, 1). Throws
  /// c10::Error otherwise.
  AveragedWeights(std::vector<std::pair<std::string, torch::Tensor>> parameters, double decay);

  /// Updates the averages after an update of the parameters; no effect if `skipped` (0-d float32) is 1: the update was
  /// skipped.
  void update(const torch::Tensor& skipped);

  /// Swaps the averages into the parameters for its lifetime; the destructor restores the parameters bit for bit.
  class HMRNN_API InPlace {
   public:
    /// Saves the parameters, then copies the averages into them.
    explicit InPlace(AveragedWeights& weights);
    ~InPlace();
    InPlace(const InPlace&) = delete;
    InPlace& operator=(const InPlace&) = delete;

   private:
    AveragedWeights& weights_;
    std::vector<torch::Tensor> kept_;
  };

  /// Stores the averages as `ema.NAME` and the number of updates as `ema.updates` (int64, 0-d), on the CPU.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` and the tensor if one is missing or has another shape.
  void load(const SafeTensors& file, const std::string& where);

 private:
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_, averages_;
  torch::Tensor updates_;  ///< float32, 0-d
  double decay_;
};

}  // namespace hmrnn
