#pragma once

#include <torch/types.h>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// Computes z̃ = hardσ(s_z) of the detectors (equation 7 of the paper) at every step: [T, B, L-1], layers bottom to
/// top, from the output `out` of HMLSTM::forward for `input` [T, B, input_size] (or the rows of the table) and the
/// state `before`. Up to rounding (another order of summation), a boundary fires where z̃ is above ½ (Bernoulli: with
/// probability z̃; soft: it is z̃). With given boundaries the result is still the detectors' z̃. No gradients. Throws
/// c10::Error for shapes that do not fit.
HMRNN_API torch::Tensor boundary_probability(const HMLSTM& core, const torch::Tensor& input, const HMLSTMState& before,
                                             const HMLSTMOutput& out);

/// Euclidean norm of the state h of each layer, [T, B, L].
HMRNN_API torch::Tensor state_norms(const HMLSTMOutput& out);

}  // namespace hmrnn
