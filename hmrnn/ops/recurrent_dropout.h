#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/export.h"

namespace hmrnn {

/// The factors of g [B, units] with which a layer ends the state of number `state` (int32 or int64 [B], 0 for the
/// initial one) under recurrent dropout with probability p: 0, or 1/(1-p). `seed`: int64, 0-d, on the device of
/// `state`; `options` are those of the result. What the operator hmrnn::hm_lstm computes as it goes along
/// (ops/dropout_bits.h), in ATen's operators; no host reads anything.
HMRNN_API torch::Tensor recurrent_dropout_factors(const torch::Tensor& seed, int64_t layer, const torch::Tensor& state,
                                                  int64_t units, double p, const torch::TensorOptions& options);

}  // namespace hmrnn
