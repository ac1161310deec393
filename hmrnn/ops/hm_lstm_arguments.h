#pragma once

#include <ATen/core/List.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/ops/hm_lstm.h"

namespace hmrnn {

/// The arguments of the operator hmrnn::hm_lstm as its schema (hm_lstm.cpp) orders them. Layer norms are listed layer
/// by layer: recurrent, bottom_up, top_down (not at the top), cell.
struct HMLSTMArguments {
  torch::Tensor input;                 ///< [T, B, e] or, with index, a table [V, e]
  std::optional<torch::Tensor> index;  ///< int64 [T, B]
  std::vector<torch::Tensor> h0;
  std::vector<torch::Tensor> c0;
  torch::Tensor z0;
  std::vector<torch::Tensor> recurrent;
  std::vector<torch::Tensor> bottom_up;
  std::vector<torch::Tensor> top_down;  ///< L-1 entries
  std::vector<torch::Tensor> bias;
  std::vector<torch::Tensor> norm_weight;  ///< 4L-1 entries, or none
  std::vector<torch::Tensor> norm_bias;
  torch::Tensor slope;
  std::optional<torch::Tensor> boundaries;
  std::optional<torch::Tensor> noise;
  std::optional<torch::Tensor> lengths;
  bool soft = false;
  bool boundary_gradient = true;
  std::optional<torch::ScalarType> product_dtype;
  double eps = 1e-5;
  double recurrent_dropout = 0;
  std::optional<torch::Tensor> dropout_seed;  ///< int64, 0-d
  std::optional<torch::Tensor> locked_mask;   ///< [B, Σ d_l]

  int64_t layers() const { return static_cast<int64_t>(recurrent.size()); }
  int64_t steps() const { return index ? index->size(0) : input.size(0); }
  int64_t batch() const { return index ? index->size(1) : input.size(1); }
  int64_t units(int64_t l) const { return recurrent[l].size(1); }
  bool layer_norm() const { return !norm_weight.empty(); }
  /// The detector is part of the graph: z carries gradients.
  bool detect() const { return !boundaries || boundary_gradient; }
  BoundaryMode mode() const { return soft ? BoundaryMode::Soft : noise ? BoundaryMode::Bernoulli : BoundaryMode::Step; }

  /// Position of the norms of layer l in the lists.
  enum Norm { kRecurrent = 0, kBottomUp = 1, kTopDown = 2, kCell = 3 };
  int64_t norm_index(int64_t l, Norm norm) const {
    const bool top = l + 1 == layers();
    return 4 * l + (top && norm == kCell ? 2 : static_cast<int64_t>(norm));
  }
};

/// Throws c10::Error naming the argument, what was expected and what was found.
void check_arguments(const HMLSTMArguments& a);

/// Every tensor that kernels read through a pointer contiguous; an input that is undefined stays so.
HMLSTMArguments contiguous(HMLSTMArguments a);

/// Throws c10::Error where z0 or the boundaries (contiguous, on the CPU) have a value that is neither 0 nor 1: the
/// reference would take it as a factor, the kernels as one of the two.
void check_hard_boundaries(const HMLSTMArguments& a);

/// The same arguments for reference_window.
std::vector<LayerParameters> layer_parameters(const HMLSTMArguments& a);
HMLSTMArguments make_arguments(const std::vector<LayerParameters>& layers, const WindowInput& window,
                               const BoundaryRule& rule, std::optional<torch::ScalarType> product_dtype, double eps,
                               const WindowDropout& dropout = {});

/// What a backend's forward leaves for its backward: opaque tensors.
struct HMLSTMForward {
  WindowResult result;
  std::vector<torch::Tensor> saved;  ///< empty without `training`
};

/// Gradients in the order of the schema; undefined where there is none.
struct HMLSTMGradients {
  torch::Tensor input;
  std::vector<torch::Tensor> h0, c0;
  torch::Tensor z0;
  std::vector<torch::Tensor> recurrent, bottom_up, top_down, bias, norm_weight, norm_bias;
};

namespace cpu {

/// The skipping kernel; hard boundaries only (`soft` false). `training`: keep what backward needs.
HMLSTMForward hm_lstm_forward(const HMLSTMArguments& a, bool training);

/// grad_h per layer [T, B, d_l] and grad_c_n per layer [B, d_l], any of them undefined; grad_z [T, B, L-1] or
/// undefined.
HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const WindowResult& result,
                                 const std::vector<torch::Tensor>& saved, const std::vector<torch::Tensor>& grad_h,
                                 const std::vector<torch::Tensor>& grad_c_n, const torch::Tensor& grad_z);

}  // namespace cpu

}  // namespace hmrnn
