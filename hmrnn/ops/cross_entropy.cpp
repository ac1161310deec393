#include "hmrnn/ops/cross_entropy.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/autograd.h>
#include <torch/library.h>
#include <torch/nn/functional/loss.h>

#include <limits>
#include <optional>
#include <tuple>

#include "hmrnn/ops/autograd/once_differentiable.h"
#include "hmrnn/ops/cpu/cross_entropy.h"

namespace hmrnn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// logits [N, V], target int64 [N], weight [N] of the logits' dtype, all contiguous. Returns the loss, and its gradient
/// with respect to the logits [N, V] if `gradient`, else an empty tensor.
using CrossEntropyOperator = std::tuple<at::Tensor, at::Tensor>(const at::Tensor& logits, const at::Tensor& target,
                                                                const std::optional<at::Tensor>& weight, bool gradient);

std::tuple<at::Tensor, at::Tensor> call(const at::Tensor& logits, const at::Tensor& target,
                                        const std::optional<at::Tensor>& weight, bool gradient) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_cross_entropy", "").typed<CrossEntropyOperator>();
  const at::AutoDispatchBelowADInplaceOrView below;
  return op.call(logits, target, weight, gradient);
}

std::tuple<at::Tensor, at::Tensor> shapes(const at::Tensor& logits, const at::Tensor&, const std::optional<at::Tensor>&,
                                          bool gradient) {
  const auto options = logits.options().requires_grad(false);
  return {at::empty({}, options), gradient ? at::empty_symint(logits.sym_sizes(), options) : at::empty({0}, options)};
}

class CrossEntropyFunction : public torch::autograd::Function<CrossEntropyFunction> {
 public:
  static torch::Tensor forward(AutogradContext* ctx, const torch::Tensor& logits, const torch::Tensor& target,
                               const std::optional<torch::Tensor>& weight) {
    const auto [loss, gradient] = call(logits, target, weight, /*gradient=*/true);
    ctx->save_for_backward({gradient});
    ctx->saved_data["logits"] = logits;  // kept for a second derivative's error; their values may change
    return loss;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    variable_list gradients;
    {
      const at::AutoDispatchBelowADInplaceOrView below;
      gradients.push_back(saved[0] * grad[0]);
    }
    gradients = refuse_second_derivative("cross_entropy", {ctx->saved_data["logits"].toTensor()}, grad, gradients);
    gradients.resize(3);  // those of target and weight are undefined
    return gradients;
  }
};

void check(const torch::Tensor& logits, const torch::Tensor& target, const torch::Tensor& weight) {
  TORCH_CHECK(logits.dim() >= 2, "cross_entropy: logits must have shape [T, B, V], got ", logits.sizes());
  TORCH_CHECK(logits.is_floating_point(), "cross_entropy: logits must be floating point, got ", logits.scalar_type());
  TORCH_CHECK(target.defined(), "cross_entropy: target is missing");
  TORCH_CHECK(target.sizes() == logits.sizes().slice(0, logits.dim() - 1), "cross_entropy: target must have shape ",
              logits.sizes().slice(0, logits.dim() - 1), ", got ", target.sizes());
  TORCH_CHECK(target.scalar_type() == torch::kInt64, "cross_entropy: target must be int64, got ", target.scalar_type());
  TORCH_CHECK(target.device() == logits.device(), "cross_entropy: target must be on ", logits.device(), ", got ",
              target.device());
  TORCH_CHECK(logits.numel() > 0, "cross_entropy: logits must not be empty, got ", logits.sizes());
  if (!weight.defined()) return;
  TORCH_CHECK(weight.sizes() == target.sizes(), "cross_entropy: weight must have shape ", target.sizes(), ", got ",
              weight.sizes());
  TORCH_CHECK(weight.device() == logits.device(), "cross_entropy: weight must be on ", logits.device(), ", got ",
              weight.device());
  TORCH_CHECK(!weight.requires_grad(), "cross_entropy: weight is a constant, but requires a gradient");
}

}  // namespace

torch::Tensor reference_cross_entropy(const torch::Tensor& logits, const torch::Tensor& target,
                                      const torch::Tensor& weight) {
  check(logits, target, weight);
  // LibTorch leaves out targets of one number, -100 unless told; here every target outside [0, V) is an error.
  const auto options =
      torch::nn::functional::CrossEntropyFuncOptions().ignore_index(std::numeric_limits<int64_t>::min());
  const auto flat_logits = logits.reshape({-1, logits.size(-1)});
  const auto flat_target = target.reshape({-1});
  if (!weight.defined()) return torch::nn::functional::cross_entropy(flat_logits, flat_target, options);
  auto each_of = options;
  const auto each = torch::nn::functional::cross_entropy(flat_logits, flat_target, each_of.reduction(torch::kNone));
  // Half precision cannot hold sums over a window.
  const auto sums_in = logits.scalar_type() == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
  const auto w = weight.reshape({-1}).to(sums_in);
  return ((each.to(sums_in) * w).sum() / w.sum()).to(logits.scalar_type());
}

torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& target, const torch::Tensor& weight) {
  const auto type = logits.scalar_type();
  // The CPU's function below would lose a forward-mode derivative (torch.func.jvp).
  if (!logits.is_cpu() || (type != torch::kFloat32 && type != torch::kFloat64) ||
      logits._fw_grad(/*level=*/0).defined()) {
    return reference_cross_entropy(logits, target, weight);
  }
  check(logits, target, weight);
  const auto flat_logits = logits.reshape({-1, logits.size(-1)}).contiguous();
  const auto flat_target = target.reshape({-1}).contiguous();
  std::optional<torch::Tensor> flat_weight;
  if (weight.defined()) flat_weight = weight.reshape({-1}).to(type).contiguous();
  if (at::GradMode::is_enabled() && logits.requires_grad()) {
    return CrossEntropyFunction::apply(flat_logits, flat_target, flat_weight);
  }
  return std::get<0>(call(flat_logits, flat_target, flat_weight, /*gradient=*/false));
}

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  m.def(
      "_cross_entropy(Tensor logits, Tensor target, Tensor? weight, bool gradient) -> (Tensor loss, Tensor gradient)");
}
TORCH_LIBRARY_IMPL(hmrnn, CPU, m) { m.impl("_cross_entropy", cpu::cross_entropy); }
TORCH_LIBRARY_IMPL(hmrnn, Meta, m) { m.impl("_cross_entropy", shapes); }

}  // namespace hmrnn
