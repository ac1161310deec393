#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Options of BoundaryCost: one value for each boundary detector (L-1 of them, bottom to top), one for all, or none.
struct BoundaryCostOptions {
  std::vector<double> cost;         ///< λ: nats a character that a firing rate of 1 costs
  std::vector<double> target_rate;  ///< in (0, 1): λ moves by itself until the detector fires so often; excludes `cost`
  double speed = 3e-4;              ///< of λ towards a target: per update, times the difference of rates
  double limit = 0.2;               ///< |λ| stays within it
};

/// Steers how often boundary detectors fire: adds Σ_l λ_l · (mean of z^l over the window) to the loss, which the
/// straight-through estimator carries to the detectors' pre-activations. With a target rate λ is the multiplier of the
/// constraint "mean of z^l = rate" by dual ascent, λ ← λ + speed · (mean − rate), below 0 where a detector fires too
/// seldom. All that changes lies in tensors that stay where they are, so that a window can be part of a graph.
class HMRNN_API BoundaryCost {
 public:
  /// Throws hmrnn::Error for a number of values that does not fit `detectors`, or both a cost and a target.
  BoundaryCost(const BoundaryCostOptions& options, int64_t detectors, torch::Device device);

  /// Anything is added at all.
  bool active() const { return lambda_.defined(); }

  /// 0-d, differentiable in z [T, B, L-1]; `weight` [T, B] (0 or 1; undefined: all 1) says which steps count. Undefined
  /// if nothing is added.
  torch::Tensor penalty(const torch::Tensor& z, const torch::Tensor& weight = {});
  /// The same for a process that has no share of the window.
  void skip();
  /// The means that `settle` will use, to be replaced in place by those of all processes (TrainingTask::window_means).
  std::vector<torch::Tensor> means() const;
  /// Ends the window of the last `penalty`: λ follows its target, unless `skipped` (0-d) is not 0.
  void settle(const torch::Tensor& skipped);

  /// λ [L-1], on the CPU (waits for the device).
  std::vector<double> lambda() const;
  /// λ as tensor `boundary_cost`, if it moves.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` if it is missing or of another shape.
  void load(const SafeTensors& file, const std::string& where);

 private:
  BoundaryCostOptions options_;
  torch::Tensor lambda_;  ///< float32 [L-1]
  torch::Tensor target_;  ///< float32 [L-1]; undefined: λ stays
  torch::Tensor mean_;    ///< float32 [L-1]: of the window at hand
};

}  // namespace hmrnn
