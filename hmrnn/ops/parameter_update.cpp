#include "hmrnn/ops/parameter_update.h"

#include <ATen/ATen.h>
#include <torch/library.h>

#include <initializer_list>

#include "hmrnn/ops/cpu/parameter_update.h"

namespace hmrnn {

namespace {

/// Kernels take the shapes of the first list for all.
void check_lists(const char* op, at::TensorList first, std::initializer_list<at::TensorList> others) {
  TORCH_CHECK(!first.empty(), op, ": no tensors");
  for (const auto& list : others) {
    TORCH_CHECK(list.size() == first.size(), op, ": the lists must have ", first.size(), " tensors each, got ",
                list.size());
    for (size_t i = 0; i < list.size(); ++i) {
      TORCH_CHECK(list[i].sizes() == first[i].sizes() && list[i].scalar_type() == first[0].scalar_type() &&
                      list[i].device() == first[0].device(),
                  op, ": tensor ", i, " must be ", first[0].scalar_type(), " ", first[i].sizes(), " on ",
                  first[0].device(), " in every list, got ", list[i].scalar_type(), " ", list[i].sizes(), " on ",
                  list[i].device());
    }
  }
}

/// Makes an operator of a function of the structs.
template <AdamReport (*function)(const AdamTensors&, const AdamNumbers&)>
AdamReport::Tuple adam_operator(at::TensorList parameters, at::TensorList gradients, at::TensorList exp_avg,
                                at::TensorList exp_avg_sq, const at::Tensor& updates, const at::Tensor& learning_rate,
                                const at::Tensor& loss, double beta1, double beta2, double eps, double clip,
                                double skip_norm, double weight_decay, bool decoupled, int64_t matrices) {
  check_lists("_clipped_adam_", parameters, {parameters, gradients, exp_avg, exp_avg_sq});
  const auto type = parameters[0].scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble, "_clipped_adam_: parameters must be float32 or float64, got ",
              type);
  const auto report = function({parameters, gradients, exp_avg, exp_avg_sq, updates, learning_rate, loss},
                               {beta1, beta2, eps, clip, skip_norm, weight_decay, decoupled, matrices});
  return report.tuple();
}

void average_one_by_one(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  check_lists("_average_", averages, {averages, values});
  for (size_t i = 0; i < averages.size(); ++i) averages[i].lerp_(values[i], share);
}

void average_cpu(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  check_lists("_average_", averages, {averages, values});
  const auto type = averages[0].scalar_type();
  TORCH_CHECK(type == at::kFloat || type == at::kDouble, "_average_: averages must be float32 or float64, got ", type);
  cpu::average_(averages, values, share);
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
  m.impl("_average_", average_cpu);
}

}  // namespace hmrnn
