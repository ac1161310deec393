#pragma once

#include <torch/types.h>

#include "hmrnn/export.h"

namespace hmrnn {

/// Mean negative log-likelihood in nats of `target` int64 [T, B] under softmax(`logits` [T, B, V]); with `weight`
/// [T, B] (0 or 1, not all 0) the mean over the targets of weight 1. 0-d, in the dtype of the logits. Differentiable in
/// the logits; on a CPU once, since there the gradient is computed together with the loss, in one pass. Throws
/// c10::Error where shapes, dtypes or devices do not agree, for logits without values, for a weight that requires a
/// gradient, and, on a CPU, for a target outside [0, V).
HMRNN_API torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& target,
                                      const torch::Tensor& weight = {});

/// The same by LibTorch's functions, on any device: the test oracle. It can be differentiated twice.
HMRNN_API torch::Tensor reference_cross_entropy(const torch::Tensor& logits, const torch::Tensor& target,
                                                const torch::Tensor& weight = {});

}  // namespace hmrnn
