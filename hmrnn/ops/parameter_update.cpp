#include "hmrnn/ops/parameter_update.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include "hmrnn/ops/cpu/parameter_update.h"

namespace hmrnn {

namespace {

/// Makes an operator of a function of the structs.
template <AdamReport (*function)(const AdamTensors&, const AdamNumbers&)>
AdamReport::Tuple adam_operator(at::TensorList parameters, at::TensorList gradients, at::TensorList exp_avg,
                                at::TensorList exp_avg_sq, const at::Tensor& updates, const at::Tensor& learning_rate,
                                const at::Tensor& loss, double beta1, double beta2, double eps, double clip,
                                double skip_norm, double weight_decay, bool decoupled, int64_t matrices) {
  const auto report = function({parameters, gradients, exp_avg, exp_avg_sq, updates, learning_rate, loss},
                               {beta1, beta2, eps, clip, skip_norm, weight_decay, decoupled, matrices});
  return report.tuple();
}

void average_one_by_one(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  for (size_t i = 0; i < averages.size(); ++i) averages[i].lerp_(values[i], share);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  m.def(
      "_clipped_adam_(Tensor(a!)[] parameters, Tensor(b!)[] gradients, Tensor(c!)[] exp_avg, "
      "Tensor(d!)[] exp_avg_sq, Tensor(e!) updates, Tensor learning_rate, Tensor loss, float beta1, float beta2, float "
      "eps, float clip, "
      "float skip_norm, float weight_decay, bool decoupled, int matrices) "
      "-> (Tensor norms, Tensor norm, Tensor skipped, Tensor not_finite)");
  m.def("_average_(Tensor(a!)[] averages, Tensor[] values, Tensor share) -> ()");
}
TORCH_LIBRARY_IMPL(hmrnn, CompositeExplicitAutograd, m) {
  m.impl("_clipped_adam_", adam_operator<reference_clipped_adam_>);
  m.impl("_average_", average_one_by_one);
}
TORCH_LIBRARY_IMPL(hmrnn, CPU, m) {
  m.impl("_clipped_adam_", adam_operator<cpu::clipped_adam_>);
  m.impl("_average_", cpu::average_);
}

}  // namespace hmrnn
