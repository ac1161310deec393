#pragma once

#include <torch/autograd.h>

#include <string>

namespace hmrnn {

/// Returns gradients unchanged; differentiating them again is an error with a clear message.
class OnceDifferentiable : public torch::autograd::Function<OnceDifferentiable> {
 public:
  /// `causes`: what the gradients depend on;  `gradients` (a std::vector, so untracked): their values;  `op`: the
  /// operator's name in the error.
  static torch::autograd::variable_list forward(torch::autograd::AutogradContext* ctx, at::TensorList causes,
                                                const torch::autograd::variable_list& gradients,
                                                const std::string& op) {
    (void)causes;
    ctx->saved_data["op"] = op;
    torch::autograd::variable_list out;
    for (const auto& g : gradients) out.push_back(g.defined() ? g.detach() : g);
    return out;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list&) {
    const auto op = ctx->saved_data["op"].toStringRef();
    TORCH_CHECK(false, op, ": double backward is not supported; hmrnn::reference_", op == "hm_lstm" ? "window" : op,
                " can be differentiated twice");
  }
};

/// `gradients`, marked so that a second derivative is refused, if the current backward pass records a graph.
inline torch::autograd::variable_list refuse_second_derivative(const std::string& op,
                                                               torch::autograd::variable_list causes,
                                                               const torch::autograd::variable_list& grad,
                                                               const torch::autograd::variable_list& gradients) {
  if (!at::GradMode::is_enabled()) return gradients;
  for (const auto& g : grad) {
    if (g.defined()) causes.push_back(g);
  }
  return OnceDifferentiable::apply(at::TensorList(causes), gradients, op);
}

}  // namespace hmrnn
