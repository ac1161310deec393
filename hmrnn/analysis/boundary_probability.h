#pragma once

#include <torch/types.h>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// How sure the detectors were: z̃ = hardσ(s_z) (PAPER.md, "The cell"; equation 7 of the paper) of every step and layer
/// but the top, [T, B, L-1], from what HMLSTM::forward returned for `input` [T, B, input_size] (or the table's rows)
/// after the state `before`. The boundaries are the detectors' where these were above ½ (Bernoulli: with this
/// probability; soft: they are z̃ itself), up to the rounding of another order of summation; under given boundaries it
/// is what the detectors said all the same. No gradients. Throws c10::Error for shapes that do not fit.
HMRNN_API torch::Tensor boundary_probability(const HMLSTM& core, const torch::Tensor& input, const HMLSTMState& before,
                                             const HMLSTMOutput& out);

/// The Euclidean norm of every layer's state h, [T, B, L].
HMRNN_API torch::Tensor state_norms(const HMLSTMOutput& out);

}  // namespace hmrnn
