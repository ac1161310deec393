#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Options of BoundaryCost: one value for each boundary detector (L-1 of them, bottom to top), one for all, or none.
struct BoundaryCostOptions {
  std::vector<double> cost{};         ///< λ: cost of a firing rate of 1, in nats per target
  std::vector<double> target_rate{};  ///< in [0, 1]: λ adapts until the detector fires at this rate; excludes `cost`
  double speed = 1e-4;                ///< step size of λ: per update, times the difference of the rates' logarithms
  double limit = 0.2;                 ///< |λ| is clamped to it
  double bias_speed = 0.003;          ///< change of a detector's bias, per update, while its rate is far off the target
};

/// Controls how often boundary detectors fire: adds Σ_l λ_l · (mean of z^l over the window) to the loss; the
/// straight-through estimator passes its gradient to the detectors' pre-activations. With a target rate, λ is the
/// Lagrange multiplier of the constraint "mean of z^l = rate", found by dual ascent: λ ← λ + speed · clamp(ln mean −
/// ln rate, ±1); it is negative if the rate is below the target. (The difference of the rates themselves is at most
/// 0.05 below a target of 0.05, but 0.45 at a rate of 0.5: λ would rise about ten times as fast as it falls, so that a
/// detector with a low target would stop firing for thousands of updates.) All that changes is in tensors at fixed
/// addresses, so that a window can be part of a graph.
///
/// λ has no effect on a detector whose pre-activations are all where hardσ is flat: there the straight-through gradient
/// is 0, and the detector would fire always or never, for ever. While the odds of firing, rate / (1 - rate), differ
/// from the target's by more than a factor of kFarOff, the detector's bias is therefore changed directly
/// (`bias_change`).
class HMRNN_API BoundaryCost {
 public:
  /// Throws hmrnn::Error if the number of values does not fit `detectors`, or for both a cost and a target.
  BoundaryCost(const BoundaryCostOptions& options, int64_t detectors, torch::Device device);

  /// Whether there is a penalty at all.
  bool active() const { return lambda_.defined(); }

  /// 0-d, differentiable in z [T, B, L-1]; `weight` [T, B] (0 or 1; undefined: all 1) selects the steps that count.
  /// Undefined if there is no penalty.
  torch::Tensor penalty(const torch::Tensor& z, const torch::Tensor& weight = {});
  /// To be called in place of `penalty` in a process without a share of the window.
  void skip();
  /// The means that `settle` will use; several processes replace them by the means of all (TrainingTask::window_means).
  std::vector<torch::Tensor> means() const;
  /// Updates λ and `bias_change` after the window of the last `penalty`, unless `not_finite` (0-d) is not 0.
  /// They follow the measured rates, so they change also where an update is skipped for its gradient norm alone.
  void settle(const torch::Tensor& not_finite);
  /// What to add to the biases of the detectors after `settle` (HMLSTM::shift_detector_biases), float32 [L-1] on the
  /// device: 0 for odds within a factor of kFarOff of the target's (rates of 0.03 to 0.67 for 0.2), else -bias_speed if
  /// the detector fires too often, +bias_speed if too seldom. Undefined without a target rate, and before `settle`.
  torch::Tensor bias_change() const { return bias_change_; }

  /// Factor between the odds of firing and the target's, from which on the bias moves.
  static constexpr double kFarOff = 8;

  /// λ [L-1], on the CPU (waits for the device).
  std::vector<double> lambda() const;
  /// Stores λ as tensor `boundary_cost` if it adapts.
  void save(SafeTensors& file) const;
  /// Restores it. Throws hmrnn::Error naming `where` if the tensor is missing or has another shape.
  void load(const SafeTensors& file, const std::string& where);

 private:
  BoundaryCostOptions options_;
  torch::Tensor lambda_;           ///< float32 [L-1]
  torch::Tensor log_target_;       ///< float32 [L-1]: ln of the target rates; undefined: λ is constant
  torch::Tensor target_log_odds_;  ///< float32 [L-1]: ln of their odds
  torch::Tensor mean_;             ///< float32 [L-1]: mean of z over the current window
  torch::Tensor bias_change_;      ///< float32 [L-1]: see bias_change
};

}  // namespace hmrnn
