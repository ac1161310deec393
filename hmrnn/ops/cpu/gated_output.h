#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace hmrnn::cpu {

/// What forward leaves for backward. N_l: states of layer l that the window shows; T·B if no state_index is given.
struct GatedOutputTape {
  at::Tensor gate;                    ///< [T·B, L] g = σ(w·h)
  at::Tensor output;                  ///< [T, B, out] h^e
  std::vector<at::Tensor> projected;  ///< per layer [N_l, out]: W^e h once a state
  std::vector<at::Tensor> row;        ///< per layer int32 [T·B]: row of `projected` that each step shows
  std::vector<at::Tensor> birth;      ///< per layer int32 [N_l]: t·B + b of the step that shows the state first

  static constexpr int kFixed = 2;
};

/// See ops/gated_output.h; contiguous CPU tensors of one floating dtype.
GatedOutputTape gated_output_forward(const std::vector<at::Tensor>& h, const at::Tensor& state_index,
                                     const at::Tensor& gates, const std::vector<at::Tensor>& embedding, bool bfloat16);

struct GatedOutputGradients {
  std::vector<at::Tensor> h;
  at::Tensor gates;
  std::vector<at::Tensor> embedding;
};

/// `grad` [T, B, out]. The gradient of h is that of every step, also where W^e h was computed once for several.
GatedOutputGradients gated_output_backward(const std::vector<at::Tensor>& h, const at::Tensor& gates,
                                           const std::vector<at::Tensor>& embedding, const GatedOutputTape& tape,
                                           const at::Tensor& grad, bool bfloat16);

}  // namespace hmrnn::cpu
