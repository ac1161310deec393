#include <torch/autograd.h>

#include <array>

#include "hmrnn/ops/autograd/once_differentiable.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Those that are not differentiable.
template <class Arguments>
auto optional_tensors(Arguments& a) {
  return std::array{&a.index, &a.boundaries, &a.noise, &a.lengths, &a.dropout_seed, &a.locked_mask};
}

class WindowFunction : public Function<WindowFunction> {
 public:
  static variable_list forward(AutogradContext* ctx, at::TensorList inputs, const HMLSTMArguments& arguments) {
    HMLSTMArguments a = arguments;
    set_differentiable(a, inputs.vec());
    at::AutoDispatchBelowADInplaceOrView below;
    static const auto op =
        c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_forward", "").typed<ForwardOperator>();
    auto [h, c_n, z, state_index, saved] = op.call(HMRNN_HM_LSTM_UNPACK(a), true);

    const auto L = a.layers();
    variable_list keep = inputs.vec();
    keep.insert(keep.end(), h.begin(), h.end());
    keep.push_back(z);
    keep.insert(keep.end(), saved.begin(), saved.end());
    for (const auto* x : optional_tensors(a)) keep.push_back(x->value_or(at::Tensor()));
    keep.push_back(a.slope);
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["layers"] = L;
    ctx->saved_data["inputs"] = static_cast<int64_t>(inputs.size());
    ctx->saved_data["norms"] = static_cast<int64_t>(a.norm_weight.size());
    ctx->saved_data["boundary_gradient"] = a.boundary_gradient;
    ctx->saved_data["product_dtype"] = a.product_dtype ? static_cast<int64_t>(*a.product_dtype) : int64_t{-1};
    ctx->saved_data["eps"] = a.eps;
    ctx->saved_data["recurrent_dropout"] = a.recurrent_dropout;
    ctx->set_materialize_grads(false);

    variable_list out = h;
    out.insert(out.end(), c_n.begin(), c_n.end());
    out.push_back(z);
    out.push_back(state_index);
    if (a.detect()) {
      ctx->mark_non_differentiable({state_index});
    } else {
      ctx->mark_non_differentiable({state_index, z});
    }
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    const auto L = ctx->saved_data["layers"].toInt();
    const auto inputs = ctx->saved_data["inputs"].toInt();
    HMLSTMArguments a;
    const auto norms = ctx->saved_data["norms"].toInt();
    a.h0.resize(L), a.c0.resize(L), a.recurrent.resize(L), a.bottom_up.resize(L), a.top_down.resize(L - 1);
    a.bias.resize(L), a.norm_weight.resize(norms), a.norm_bias.resize(norms);
    const variable_list causes(saved.begin(), saved.begin() + inputs);
    set_differentiable(a, causes);
    auto next = saved.begin() + inputs;
    const variable_list h(next, next + L);
    const at::Tensor z = next[L];
    const auto optional = [](const at::Tensor& x) { return x.defined() ? std::make_optional(x) : std::nullopt; };
    const auto rest = optional_tensors(a);
    const auto tape_end = saved.end() - static_cast<int64_t>(rest.size()) - 1;
    const variable_list tape(next + L + 1, tape_end);
    for (size_t i = 0; i < rest.size(); ++i) *rest[i] = optional(tape_end[static_cast<int64_t>(i)]);
    a.slope = saved.back();
    a.boundary_gradient = ctx->saved_data["boundary_gradient"].toBool();
    const auto dtype = ctx->saved_data["product_dtype"].toInt();
    if (dtype >= 0) a.product_dtype = static_cast<at::ScalarType>(dtype);
    a.eps = ctx->saved_data["eps"].toDouble();
    a.recurrent_dropout = ctx->saved_data["recurrent_dropout"].toDouble();

    c10::List<std::optional<at::Tensor>> grad_h, grad_c_n;
    for (int64_t l = 0; l < L; ++l) {
      grad_h.push_back(optional(grad[l]));
      grad_c_n.push_back(optional(grad[L + l]));
    }
    variable_list gradients;
    {
      at::AutoDispatchBelowADInplaceOrView below;
      static const auto op =
          c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_backward", "").typed<BackwardOperator>();
      gradients = op.call(HMRNN_HM_LSTM_UNPACK(a), h, z, tape, grad_h, grad_c_n, optional(grad[2 * L]));
    }
    gradients = refuse_second_derivative("hm_lstm", causes, grad, gradients);
    gradients.emplace_back();  // of the HMLSTMArguments
    return gradients;
  }
};

}  // namespace

WindowTuple hm_lstm_autograd(HMRNN_HM_LSTM_PARAMETERS) {
  const auto a = gather_arguments(HMRNN_HM_LSTM_PASS);
  const auto inputs = differentiable(a);
  auto out = WindowFunction::apply(at::TensorList(inputs), a);
  const auto L = a.layers();
  return {std::vector<at::Tensor>(out.begin(), out.begin() + L),
          std::vector<at::Tensor>(out.begin() + L, out.begin() + 2 * L), out[2 * L], out[2 * L + 1]};
}

}  // namespace hmrnn
