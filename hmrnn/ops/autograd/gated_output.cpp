#include "hmrnn/ops/gated_output.h"

#include <torch/autograd.h>

#include "hmrnn/ops/autograd/gated_output.h"
#include "hmrnn/ops/autograd/once_differentiable.h"
#include "hmrnn/ops/cpu/gated_output.h"

namespace hmrnn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class GatedOutputFunction : public torch::autograd::Function<GatedOutputFunction> {
 public:
  /// inputs: h per layer, gates, embedding per layer. state_index may be undefined, which autograd takes in a list only
  /// that it does not track.
  static torch::Tensor forward(AutogradContext* ctx, at::TensorList inputs, const variable_list& state_index,
                               bool bfloat16) {
    const auto L = static_cast<int64_t>(inputs.size() - 1) / 2;
    const auto all = inputs.vec();
    const variable_list h(all.begin(), all.begin() + L), embedding(all.begin() + L + 1, all.end());
    at::AutoDispatchBelowADInplaceOrView below;
    auto tape = cpu::gated_output_forward(h, state_index[0], all[L], embedding, bfloat16);
    variable_list keep = all;
    keep.push_back(tape.gate);
    keep.push_back(tape.output);
    for (const auto* list : {&tape.projected, &tape.row, &tape.birth}) keep.insert(keep.end(), list->begin(), list->end());
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["layers"] = L;
    ctx->saved_data["bfloat16"] = bfloat16;
    return tape.output;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    const auto L = ctx->saved_data["layers"].toInt();
    const variable_list inputs(saved.begin(), saved.begin() + 2 * L + 1);
    const variable_list h(saved.begin(), saved.begin() + L), embedding(saved.begin() + L + 1, saved.begin() + 2 * L + 1);
    auto next = saved.begin() + 2 * L + 1;
    cpu::GatedOutputTape tape;
    tape.gate = *next++;
    tape.output = *next++;
    for (auto* list : {&tape.projected, &tape.row, &tape.birth}) {
      list->assign(next, next + L);
      next += L;
    }
    variable_list gradients;
    {
      at::AutoDispatchBelowADInplaceOrView below;
      auto g = cpu::gated_output_backward(h, saved[L], embedding, tape, grad[0].contiguous(),
                                          ctx->saved_data["bfloat16"].toBool());
      gradients = g.h;
      gradients.push_back(g.gates);
      gradients.insert(gradients.end(), g.embedding.begin(), g.embedding.end());
    }
    gradients = refuse_second_derivative("gated_output", inputs, grad, gradients);
    gradients.emplace_back();  // of state_index
    gradients.emplace_back();  // of bfloat16
    return gradients;
  }
};

}  // namespace

torch::Tensor gated_output_autograd(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                                    const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                                    bool bfloat16) {
  variable_list inputs = h;
  inputs.push_back(gates);
  inputs.insert(inputs.end(), embedding.begin(), embedding.end());
  return GatedOutputFunction::apply(at::TensorList(inputs), variable_list{state_index}, bfloat16);
}

}  // namespace hmrnn
