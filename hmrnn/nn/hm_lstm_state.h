#pragma once

#include <torch/types.h>

#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The state that is carried from one window to the next.
struct HMRNN_API HMLSTMState {
  std::vector<torch::Tensor> h;  ///< per layer [B, d_l]
  std::vector<torch::Tensor> c;  ///< per layer [B, d_l]
  torch::Tensor z;               ///< [B, L-1]: the last step's boundaries

  /// The state before the first step: all zeros, for layers of `sizes` units and `boundaries` detectors (L-1, or 0),
  /// with the dtype and device of `options`.
  static HMLSTMState zeros(int64_t batch, const std::vector<int64_t>& sizes, int64_t boundaries,
                           const torch::TensorOptions& options);
  /// The same values outside the graph (truncated back-propagation).
  HMLSTMState detach() const;
  /// The same values on `device`.
  HMLSTMState to(torch::Device device) const;
  /// Concatenates the rows of `states`, in this order. Throws c10::Error for none, or where layers or sizes differ.
  static HMLSTMState join(const std::vector<HMLSTMState>& states);
  /// These rows, in this order; the new batch size is their number. Throws c10::Error for a row outside [0, B).
  HMLSTMState select_rows(const std::vector<int64_t>& rows) const;
  /// B
  int64_t batch() const { return z.size(0); }
  /// Whether it has tensors.
  bool defined() const { return z.defined(); }
};

}  // namespace hmrnn
