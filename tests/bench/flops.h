#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/analysis/cost.h"

// What contestants of kLayers equal layers over an input of kInput features cost (hmrnn/analysis/cost.h).

namespace bench {

/// The rows of `steps` = T·B row-steps, under boundaries z [T, B, L-1] that follow z = 0; z undefined: of a plain LSTM.
/// W x of the first layer for `input_rows` rows.
hmrnn::ProductRows rows_of(const torch::Tensor& z, int64_t steps, int64_t input_rows);

/// One pass over the recurrent layers alone: forward, or the gradients of the operands, or of the weights.
double core_pass(const torch::Tensor& z, int64_t steps, int64_t units, int64_t input_rows);

}  // namespace bench
