#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The output module (the paper's output gates g and output embedding h^e):
///   g^l_t = σ(w^l · [h^1_t; …; h^L_t]),   h^e_t = ReLU(Σ_l g^l_t W^e_l h^l_t).
/// `h`: per layer [T, B, d_l]; `state_index`: int32 [L, T, B] as hm_lstm returns it (the number of the row's state
/// after each step; two steps of a row with the same number have the same h), or undefined: W^e h is then computed at
/// every step. `gates` [L, Σd]; `embedding`: per layer [out, d_l]. Returns [T, B, out]. `product_dtype` bfloat16 rounds
/// the operands of W^e h (float32 only). Throws c10::Error for another shape, dtype or device, for an empty dimension and
/// for T·B ≥ 2^31. On CUDA (ops/cuda_library.h) `state_index` is not used: shapes are static and
/// the host reads nothing back, so that a call can be captured in a CUDA graph.
HMRNN_API torch::Tensor gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                                     const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                                     std::optional<torch::ScalarType> product_dtype = std::nullopt);

/// The same in plain ATen and autograd: the test oracle.
HMRNN_API torch::Tensor reference_gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& gates,
                                               const std::vector<torch::Tensor>& embedding);

}  // namespace hmrnn
