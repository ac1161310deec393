#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/export.h"

namespace hmrnn {

/// The factors of g [B, units] at the step with which a layer ends the state numbered `state` (int32 or int64 [B], 0
/// for the initial one) under recurrent dropout with probability p: 0, or 1/(1-p). `seed`: int64, 0-d, on the device of
/// `state`; `options` are those of the result. The same factors as in the operator hmrnn::hm_lstm (ops/dropout_bits.h),
/// by ATen's operators; the host reads nothing back.
HMRNN_API torch::Tensor recurrent_dropout_factors(const torch::Tensor& seed, int64_t layer, const torch::Tensor& state,
                                                  int64_t units, double p, const torch::TensorOptions& options);

}  // namespace hmrnn
