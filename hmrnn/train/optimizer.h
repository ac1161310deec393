#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Where weight decay acts.
enum class WeightDecayMode {
  L2,         ///< added to the gradient after clipping, so that Adam scales it (torch::optim::Adam's weight_decay)
  Decoupled,  ///< subtracted in the update: weights shrink by learning rate · decay (Loshchilov and Hutter, 2019;
              ///< AdamW)
};

/// Adam (Kingma and Ba, 2015; torch::optim::Adam's arithmetic) over named parameters, all float32 or all float64, as
/// one operation on all of them (ops/parameter_update.h), with clipping by the global norm. An update whose gradient or
/// loss is not finite, or whose gradient norm is above a limit, is skipped as a whole. `step` does not wait for the
/// device and can be part of a graph (WindowGraph): the number of updates and the learning rate are tensors.
class HMRNN_API ClippedAdam {
 public:
  /// The names are those of the paper (torch::optim::Adam).
  struct Options {
    double beta1 = 0.9;    ///< decay of the first moment
    double beta2 = 0.999;  ///< decay of the second moment
    double eps = 1e-8;     ///< added to the root of the second moment
    double clip = 1.0;     ///< maximum of the global gradient norm; 0: no clipping
    /// An update whose global gradient norm is above it is skipped; 0: none is. Clipping does not replace it: where a
    /// gradient is far above all earlier ones of a weight, Adam's division cancels its size, and the weight moves by up
    /// to 1/√(1 - beta2) learning rates.
    double skip_norm = 0;
    double weight_decay = 0;  ///< for matrices (2 dimensions or more); vectors (biases, gains) never decay
    WeightDecayMode weight_decay_mode = WeightDecayMode::L2;  ///< where it acts
  };
  /// Result of one step, as tensors on the parameters' device.
  struct Report {
    torch::Tensor norms;       ///< [P], dtype of the parameters: gradient norm of each, before clipping; see names()
    torch::Tensor norm;        ///< 0-d, dtype of the parameters: the global gradient norm, before clipping
    torch::Tensor skipped;     ///< float32, 0-d: 1 if the update was skipped and nothing was changed, else 0
    torch::Tensor not_finite;  ///< float32, 0-d: 1 if it was skipped because loss or gradient is not finite, else 0
  };

  /// Names and parameters, all on one device, none twice; moments start at zero. Throws c10::Error otherwise.
  ClippedAdam(std::vector<std::pair<std::string, torch::Tensor>> parameters, const Options& options);

  /// Sets the learning rate of the next steps (initially 0). Not part of a graph: a replay uses the rate set last.
  void set_learning_rate(double rate);

  /// One update from the parameters' gradients, which are then reset to undefined. A parameter without a gradient
  /// counts as having gradient 0. `loss`: 0-d; it must be finite too. Throws c10::Error naming the parameter if a
  /// gradient has another shape or dtype.
  Report step(const torch::Tensor& loss);

  /// The parameters' names, in the order of Report::norms.
  const std::vector<std::string>& names() const { return names_; }

  /// The number of updates made (waits for the device).
  int64_t updates() const;

  /// Stores the moments as `adam.exp_avg.NAME`, `adam.exp_avg_sq.NAME`, and `adam.updates` (int64, 0-d), on the CPU.
  void save(SafeTensors& file) const;
  /// Throws hmrnn::Error naming `where` and the tensor if one is missing or has another shape.
  void load(const SafeTensors& file, const std::string& where);

 private:
  std::vector<std::string> names_;
  std::vector<torch::Tensor> parameters_, exp_avg_, exp_avg_sq_;
  size_t matrices_ = 0;          ///< number of matrices; they come first, and only they decay
  torch::Tensor step_;           ///< float32, 0-d, shared by all parameters
  torch::Tensor learning_rate_;  ///< 0-d, float64; float32 on CUDA, where the kernel takes no other
  Options options_;
};

}  // namespace hmrnn
