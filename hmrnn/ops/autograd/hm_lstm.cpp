#include <torch/autograd.h>

#include "hmrnn/ops/autograd/once_differentiable.h"
#include "hmrnn/ops/hm_lstm_arguments.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

class WindowFunction : public Function<WindowFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const HMLSTMArguments& arguments) {
    HMLSTMArguments a = arguments;
    set_differentiable(a, a.layer_norm(), inputs.vec());
    at::AutoDispatchBelowADInplaceOrView below;
    const auto [result, tape] = call_forward(a, /*training=*/true);

    variable_list keep = inputs.vec();
    keep.insert(keep.end(), result.h.begin(), result.h.end());
    keep.push_back(result.z);
    keep.push_back(tape);
    for (const auto* x : constants(a)) keep.push_back(*x);
    keep.push_back(a.rule.slope);
    keep.push_back(result.state_index);  // not read, but the tape shares its memory: a change in place is an error
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["layers"] = a.num_layers();
    ctx->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
    ctx->saved_data["layer_norm"] = a.layer_norm();
    ctx->saved_data["boundary_gradient"] = a.rule.boundary_gradient;
    ctx->saved_data["product_dtype"] = a.product_dtype ? static_cast<int64_t>(*a.product_dtype) : int64_t{-1};
    ctx->saved_data["eps"] = a.eps;
    ctx->saved_data["recurrent_dropout"] = a.dropout.recurrent;
    ctx->set_materialize_grads(false);

    variable_list out = result.h;
    out.insert(out.end(), result.c_n.begin(), result.c_n.end());
    out.push_back(result.z);
    out.push_back(result.state_index);
    if (a.detect()) {
      ctx->mark_non_differentiable({result.state_index});
    } else {
      ctx->mark_non_differentiable({result.state_index, result.z});
    }
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    const auto L = ctx->saved_data["layers"].toInt();
    const auto inputs = ctx->saved_data["inputs"].toInt();
    HMLSTMArguments a;
    a.layers.resize(L), a.window.h0.resize(L), a.window.c0.resize(L);
    const variable_list causes(saved.begin(), saved.begin() + inputs);
    set_differentiable(a, ctx->saved_data["layer_norm"].toBool(), causes);
    HMLSTMBackward b;
    auto next = saved.begin() + inputs;
    b.result.h = variable_list(next, next + L);
    b.result.z = next[L];
    const auto rest = constants(a);
    const auto tape = next[L + 1];
    for (size_t i = 0; i < rest.size(); ++i) *rest[i] = next[L + 2 + static_cast<int64_t>(i)];
    a.rule.slope = saved[saved.size() - 2];
    a.rule.boundary_gradient = ctx->saved_data["boundary_gradient"].toBool();
    const auto dtype = ctx->saved_data["product_dtype"].toInt();
    if (dtype >= 0) a.product_dtype = static_cast<at::ScalarType>(dtype);
    a.eps = ctx->saved_data["eps"].toDouble();
    a.dropout.recurrent = ctx->saved_data["recurrent_dropout"].toDouble();

    b.grad_h = variable_list(grad.begin(), grad.begin() + L);
    b.grad_c_n = variable_list(grad.begin() + L, grad.begin() + 2 * L);
    b.grad_z = grad[2 * L];
    b.input_gradient = ctx->needs_input_grad(0);
    check_arguments(a);  // set_data may have changed a shape since
    variable_list gradients;
    {
      at::AutoDispatchBelowADInplaceOrView below;
      gradients = call_backward(a, b, tape);
    }
    if (!b.input_gradient) gradients[0] = at::Tensor();
    gradients = refuse_second_derivative("hm_lstm", causes, grad, gradients);
    gradients.emplace_back();  // of the HMLSTMArguments
    return gradients;
  }
};

}  // namespace

WindowResult hm_lstm_autograd(const HMLSTMArguments& a) {
  const auto inputs = differentiable(a);
  auto out = WindowFunction::apply(at::TensorList(inputs), a);
  const auto L = a.num_layers();
  return {std::vector<at::Tensor>(out.begin(), out.begin() + L),
          std::vector<at::Tensor>(out.begin() + L, out.begin() + 2 * L), out[2 * L], out[2 * L + 1]};
}

}  // namespace hmrnn
