#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdint>
#include <tuple>

// The update of all parameters of a model, as operators (hmrnn::_clipped_adam_, hmrnn::_average_): on the CPU one pass
// over all values for the norm and one for Adam, shared by the threads as if all tensors were one buffer; elsewhere
// LibTorch's fused operations. They read and write tensors alone and can be part of a graph (WindowGraph).

namespace hmrnn {

/// What an Adam update depends on besides tensors; see ClippedAdam::Options.
struct AdamNumbers {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  double clip = 0;       ///< maximum of the global gradient norm; 0: no clipping
  double skip_norm = 0;  ///< an update with a larger norm is skipped; 0: none is
  double weight_decay = 0;
  bool decoupled = false;  ///< weight decay acts on the weights, not on the gradients
  int64_t matrices = 0;    ///< the first so many parameters decay
};

/// The tensors of an Adam update: lists of equal length and shapes, of one dtype (float32 or float64) and device, and
/// 0-d tensors.
struct AdamTensors {
  at::TensorList parameters, gradients, exp_avg, exp_avg_sq;
  at::Tensor updates;        ///< float32: the number of updates made
  at::Tensor learning_rate;  ///< float64; float32 on CUDA
  at::Tensor loss;           ///< must be finite, or the update is skipped
};

/// What an update reports; see ClippedAdam::Report.
struct AdamReport {
  using Tuple = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>;
  at::Tensor norms, norm, skipped, not_finite;
  Tuple tuple() const { return {norms, norm, skipped, not_finite}; }
};

/// The signatures of the operators.
using ClippedAdamOperator = AdamReport::Tuple(at::TensorList parameters, at::TensorList gradients,
                                              at::TensorList exp_avg, at::TensorList exp_avg_sq,
                                              const at::Tensor& updates, const at::Tensor& learning_rate,
                                              const at::Tensor& loss, double beta1, double beta2, double eps,
                                              double clip, double skip_norm, double weight_decay, bool decoupled,
                                              int64_t matrices);
using AverageOperator = void(at::TensorList averages, at::TensorList values, const at::Tensor& share);

/// Clips the gradients by their global norm and makes one Adam update of parameters, moments and `updates`, or none if
/// it is to be skipped. Calls the operator of the parameters' device. Afterwards gradients may be the clipped ones.
inline AdamReport clipped_adam_(const AdamTensors& t, const AdamNumbers& n) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_clipped_adam_", "").typed<ClippedAdamOperator>();
  const auto [norms, norm, skipped, not_finite] =
      op.call(t.parameters, t.gradients, t.exp_avg, t.exp_avg_sq, t.updates, t.learning_rate, t.loss, n.beta1, n.beta2,
              n.eps, n.clip, n.skip_norm, n.weight_decay, n.decoupled, n.matrices);
  return {norms, norm, skipped, not_finite};
}

/// The same by LibTorch's operations, on any device: what devices without kernels call, and the test oracle.
AdamReport reference_clipped_adam_(const AdamTensors& tensors, const AdamNumbers& numbers);

/// averages += share · (values - averages), for lists of equal length and shapes; `share` 0-d. Calls the operator of
/// the tensors' device.
inline void average_(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_average_", "").typed<AverageOperator>();
  op.call(averages, values, share);
}

}  // namespace hmrnn
