#pragma once

#include <torch/types.h>

#include <cstdint>
#include <vector>

// Floating-point operations of the matrix products that a window cannot do without, a multiplication and an addition
// counting as two. Left out, for every contestant: pointwise mathematics, layer norm, biases, the boundary row (1 of 4d
// + 1 rows), and what gradients of z need beside the products of the forward pass.

namespace bench {

/// One pass (forward, or data gradient, or weight gradient) of the HM-LSTM's layers of `units` over an input of
/// `input_size`, under boundaries z [T, B, L-1] that follow z = 0: U h once per active row-step, W h where the boundary
/// below fires, V h where the own one fired a step ago; W x of the first layer for `input_rows` rows.
double hm_lstm_pass(const torch::Tensor& z, int64_t units, int64_t input_size, int64_t input_rows);

/// The same of a plain LSTM over `steps` = T·B row-steps.
double lstm_pass(int64_t steps, int64_t units, int64_t input_size, int64_t input_rows);

/// The output module (all three passes) over the same z: W^e h and its weight gradient once per state, its gradient in
/// h at every step; and the softmax layer. z undefined: a plain LSTM, where every step has a state of its own.
double output_module(const torch::Tensor& z, int64_t steps, int64_t units, int64_t output_size, int64_t vocabulary);

}  // namespace bench
