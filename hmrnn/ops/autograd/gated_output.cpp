#include "hmrnn/ops/gated_output.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/autograd.h>

#include "hmrnn/ops/autograd/gated_output.h"
#include "hmrnn/ops/autograd/once_differentiable.h"
#include "hmrnn/ops/gated_output_schema.h"

namespace hmrnn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class GatedOutputFunction : public torch::autograd::Function<GatedOutputFunction> {
 public:
  /// inputs: h per layer, gates, embedding per layer. state_index may be undefined, which autograd accepts only in a
  /// list that it does not track.
  static torch::Tensor forward(AutogradContext* ctx, at::TensorList inputs, const variable_list& state_index,
                               std::optional<at::ScalarType> product_dtype) {
    const auto L = static_cast<int64_t>(inputs.size() - 1) / 2;
    at::AutoDispatchBelowADInplaceOrView below;
    static const auto op = c10::Dispatcher::singleton()
                               .findSchemaOrThrow("hmrnn::_gated_output_forward", "")
                               .typed<GatedOutputForwardOperator>();
    const auto [output, tape] =
        op.call(inputs.slice(0, L), state_index[0].defined() ? std::make_optional(state_index[0]) : std::nullopt,
                inputs[L], inputs.slice(L + 1), product_dtype);
    variable_list keep = inputs.vec();
    keep.push_back(output);
    keep.push_back(tape);
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["layers"] = L;
    ctx->saved_data["product_dtype"] = product_dtype ? static_cast<int64_t>(*product_dtype) : int64_t{-1};
    return output;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    const auto L = ctx->saved_data["layers"].toInt();
    const auto dtype = ctx->saved_data["product_dtype"].toInt();
    const at::TensorList all(saved);
    const auto inputs = all.slice(0, 2 * L + 1);
    variable_list gradients;
    {
      at::AutoDispatchBelowADInplaceOrView below;
      static const auto op = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("hmrnn::_gated_output_backward", "")
                                 .typed<GatedOutputBackwardOperator>();
      gradients = op.call(inputs.slice(0, L), inputs[L], inputs.slice(L + 1), all[2 * L + 1], all[2 * L + 2],
                          grad[0].contiguous(),
                          dtype >= 0 ? std::make_optional(static_cast<at::ScalarType>(dtype)) : std::nullopt);
    }
    gradients = refuse_second_derivative("gated_output", inputs.vec(), grad, gradients);
    gradients.emplace_back();  // of state_index
    gradients.emplace_back();  // of product_dtype
    return gradients;
  }
};

}  // namespace

torch::Tensor gated_output_autograd(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                                    const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                                    std::optional<torch::ScalarType> product_dtype) {
  variable_list inputs = h;
  inputs.push_back(gates);
  inputs.insert(inputs.end(), embedding.begin(), embedding.end());
  return GatedOutputFunction::apply(at::TensorList(inputs), variable_list{state_index}, product_dtype);
}

}  // namespace hmrnn
