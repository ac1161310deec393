#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/handwriting_model.h"

// What a model's matrix products cost, counted in rows: a row is one batch row at one step that a matrix is multiplied
// with. Left out, for every model alike: pointwise mathematics, layer norm, biases, and the boundary row (1 of 4d + 1
// rows; at a COPY only a scalar of it is needed).

namespace hmrnn {

/// The sizes that a model's products depend on.
struct HMRNN_API CostSizes {
  int64_t input = 0;             ///< features of the first layer's input
  std::vector<int64_t> hidden;   ///< units d_l of each layer
  int64_t output_embedding = 0;  ///< size of h^e; 0: there is no output module
  int64_t classes = 0;           ///< outputs of the layer after it: symbols, or parameters of a mixture
};
/// Those of a character model.
HMRNN_API CostSizes cost_sizes(const CharLMOptions& options);
/// Those of a handwriting model.
HMRNN_API CostSizes cost_sizes(const HandwritingOptions& options);

/// How many rows each matrix is multiplied with, for each of L layers.
struct HMRNN_API ProductRows {
  std::vector<double> recurrent;  ///< U h
  std::vector<double> bottom_up;  ///< W x: of the first layer's input, or of the layer below
  std::vector<double> top_down;   ///< V h of the layer above; 0 at the top
  std::vector<double> output;     ///< W^e h of the output module
  double steps = 0;               ///< of the output module's gates and of the layer after it

  /// The sum over two windows.
  ProductRows& operator+=(const ProductRows& other);
};

/// The rows that the CPU's operators multiply in a window with hard boundaries z [T, B, M] that follow z0 [B, M] (M
/// = L - 1, or 0: a plain LSTM), for `layers` L: U h where a layer UPDATEs or FLUSHes, W h where the boundary below
/// fires, V h where the own one fired a step before, W^e h once for each state that the window shows. `input_rows`: of
/// the first layer's W x, which is made for each row of a table of symbols once a window (V), or at each step (T·B).
/// Steps past `lengths` int64 [B] make no product but those of `steps`.
HMRNN_API ProductRows rows_made(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers, int64_t input_rows,
                                const torch::Tensor& lengths = {});

/// The rows of a computation that makes every product at each of `live` row-steps, as the polynomial of the paper is
/// written: `steps` = T·B ≥ `live` of them with padding. The first layer's W x is the same table, which has nothing to
/// do with a hierarchy.
HMRNN_API ProductRows rows_dense(int64_t live, int64_t steps, int64_t layers, int64_t input_rows);
/// The same of a plain LSTM of the same sizes: without V.
HMRNN_API ProductRows rows_lstm(int64_t live, int64_t steps, int64_t layers, int64_t input_rows);

/// Floating-point operations of a forward pass, a multiplication and an addition counting as two.
HMRNN_API double forward_flops(const ProductRows& rows, const CostSizes& sizes);
/// Those of forward and backward pass: for each product also the gradients of its weights and of its operand. In the
/// output module the gradient of h is needed at every step, not once a state. Left out: what the gradients of z need
/// beside the products of the forward pass.
HMRNN_API double training_flops(const ProductRows& rows, const CostSizes& sizes);

/// Adds up the windows of an evaluation.
class HMRNN_API CostCounter {
 public:
  /// `skips`: boundaries are hard, so that a COPY makes no product; soft ones make every product at every step.
  CostCounter(CostSizes sizes, bool skips);

  /// One window, as in rows_made; on any device.
  void add(const torch::Tensor& z, const torch::Tensor& z0, int64_t input_rows, const torch::Tensor& lengths = {});

  /// What was made.
  const ProductRows& made() const { return made_; }
  /// What a dense HM-LSTM would have made.
  const ProductRows& dense() const { return dense_; }
  /// What a plain LSTM would have made.
  const ProductRows& lstm() const { return lstm_; }
  /// As given.
  const CostSizes& sizes() const { return sizes_; }

 private:
  CostSizes sizes_;
  bool skips_;
  ProductRows made_, dense_, lstm_;
};

}  // namespace hmrnn
