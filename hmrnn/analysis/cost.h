#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/handwriting_model.h"

// The cost of a model's matrix products, counted in rows: one row is one matrix times the vector of one batch row at
// one time step. Not counted, for any model: pointwise operations, layer norm, biases, and the boundary row (1 of 4d +
// 1 rows; a COPY needs only a scalar of it).

namespace hmrnn {

/// Sizes of a model's matrix products.
struct HMRNN_API CostSizes {
  int64_t input = 0;             ///< features of the first layer's input
  std::vector<int64_t> hidden;   ///< units d_l of each layer, bottom to top
  int64_t output_embedding = 0;  ///< size of h^e; 0: no output module
  int64_t classes = 0;           ///< size of the layer after h^e: symbols, or parameters of a mixture
};
/// Sizes of a character model.
HMRNN_API CostSizes cost_sizes(const CharLMOptions& options);
/// Sizes of a handwriting model.
HMRNN_API CostSizes cost_sizes(const HandwritingOptions& options);

/// Number of rows that each matrix is multiplied with, for each of L layers.
struct HMRNN_API ProductRows {
  std::vector<double> recurrent;  ///< U h
  std::vector<double> bottom_up;  ///< W x: x is the input in the first layer, else h of the layer below
  std::vector<double> top_down;   ///< V h of the layer above; 0 for the top layer
  std::vector<double> output;     ///< W^e h and gates of the output module
  double steps = 0;               ///< rows of the layer after the output module

  /// Adds another window.
  ProductRows& operator+=(const ProductRows& other);
};

/// Rows that the CPU operators multiply in a window with hard boundaries z [T, B, M] after z0 [B, M] (M = L - 1, or 0
/// for a plain LSTM), with `layers` L: U h where a layer UPDATEs or FLUSHes, W h where the boundary below fires, V h
/// where the layer's own boundary fired at the previous step, W^e h once per state in the window. `input_rows`: rows of
/// the first layer's W x: one per symbol of the table in each window (V), or one per step (T·B). Steps after `lengths`
/// int64 [B] only count for `steps`.
HMRNN_API ProductRows rows_made(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers, int64_t input_rows,
                                const torch::Tensor& lengths = {});

/// Rows of a dense HM-LSTM, which computes every product at each of `live` row-steps (batch row × time step), as in the
/// paper's formulas. `steps` = T·B ≥ `live` includes the padding. `input_rows` is the same as in rows_made: the table
/// of the first layer is independent of the hierarchy.
HMRNN_API ProductRows rows_dense(int64_t live, int64_t steps, int64_t layers, int64_t input_rows);
/// Rows of a plain LSTM of the same sizes: without V.
HMRNN_API ProductRows rows_lstm(int64_t live, int64_t steps, int64_t layers, int64_t input_rows);

/// Floating-point operations of a forward pass; a multiply-add counts as two.
HMRNN_API double forward_flops(const ProductRows& rows, const CostSizes& sizes);
/// Floating-point operations of forward and backward pass: each product also needs the gradients of its weights and of
/// its operand. In the output module the gradient of h is computed at every step, not once per state. Not counted: the
/// products that only the gradients of z need.
HMRNN_API double training_flops(const ProductRows& rows, const CostSizes& sizes);

/// Sums over the windows of an evaluation.
class HMRNN_API CostCounter {
 public:
  /// `skips`: boundaries are hard, so a COPY needs no product; soft boundaries need every product at every step.
  CostCounter(CostSizes sizes, bool skips);

  /// Adds one window; arguments as in rows_made, on any device.
  void add(const torch::Tensor& z, const torch::Tensor& z0, int64_t input_rows, const torch::Tensor& lengths = {});

  /// Rows of this model.
  const ProductRows& made() const { return made_; }
  /// Rows of a dense HM-LSTM.
  const ProductRows& dense() const { return dense_; }
  /// Rows of a plain LSTM.
  const ProductRows& lstm() const { return lstm_; }
  /// The sizes given to the constructor.
  const CostSizes& sizes() const { return sizes_; }

 private:
  CostSizes sizes_;
  bool skips_;
  ProductRows made_, dense_, lstm_;
};

}  // namespace hmrnn
