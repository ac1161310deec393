#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

namespace hmrnn::cpu {

/// What forward saves for backward. N_l: number of distinct states of layer l in the window; T·B if no state_index is
/// given.
struct GatedOutputTape {
  at::Tensor gate;                    ///< [T·B, L] g = σ(w·h)
  at::Tensor output;                  ///< [T, B, out] h^e
  std::vector<at::Tensor> projected;  ///< per layer [N_l, out]: W^e h, once for each state
  std::vector<at::Tensor> row;        ///< per layer int32 [T·B]: row of `projected` for each step
  std::vector<at::Tensor> birth;      ///< per layer int32 [N_l]: t·B + b of the first step with this state
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
