#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/analysis/cost.h"

// The cost of contestants with kLayers equal layers and kInput input features (hmrnn/analysis/cost.h).

namespace bench {

/// Rows for `steps` = T·B row-steps with boundaries z [T, B, L-1] after z = 0; z undefined: a plain LSTM. `input_rows`:
/// rows of W x in the first layer.
hmrnn::ProductRows rows_of(const torch::Tensor& z, int64_t steps, int64_t input_rows);

/// FLOPs of one pass over the recurrent layers: the forward pass, the gradients of the operands, or those of the
/// weights.
double core_pass(const torch::Tensor& z, int64_t steps, int64_t units, int64_t input_rows);

}  // namespace bench
