/// Random tensors of a window's regularisers: masks of locked dropout, weight-drop and embedding dropout, seeds of
/// recurrent dropout. Internal. Dropout is inverted: kept values are divided by 1-p, and evaluation needs no factor.
/// LibTorch's generator of the device draws them anew at every call and at every replay of a CUDA graph.
#pragma once

#include <torch/types.h>

#include <vector>

namespace hmrnn {

/// Throws c10::Error naming `module` and `option` unless 0 ≤ p < 1.
void check_dropout(const char* module, const char* option, double p);

/// 0 with probability p, else 1/(1-p).
torch::Tensor draw_mask(torch::IntArrayRef shape, double p, const torch::TensorOptions& options);

/// Seeds of recurrent dropout (WindowDropout): int64 [n].
torch::Tensor draw_seeds(int64_t n, torch::Device device);

/// Weight-drop (DropConnect; Merity et al. 2018): U [R, d] with each weight of the 4d gate rows dropped with
/// probability p. The boundary's row, if there is one, stays as it is.
torch::Tensor drop_gate_weights(const torch::Tensor& recurrent, double p);

/// Embedding dropout (Gal and Ghahramani 2016): the table [V, E] with each row dropped as a whole with probability p.
torch::Tensor drop_symbols(const torch::Tensor& table, double p);

/// h_l ⊙ m_l for h_l [T, B, d_l] and a mask [B, Σ d_l], the columns of the layers in their order.
std::vector<torch::Tensor> apply_locked_mask(const std::vector<torch::Tensor>& h, const torch::Tensor& mask);

}  // namespace hmrnn
