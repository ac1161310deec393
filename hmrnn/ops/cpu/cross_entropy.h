#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>

namespace hmrnn::cpu {

/// The operator hmrnn::_cross_entropy (ops/cross_entropy.cpp): the mean negative log-likelihood of `target` int64 [N]
/// under softmax(`logits` [N, V], float32 or float64), weighted by `weight` [N] if given, and its gradient [N, V], both
/// from one pass over the logits. All contiguous. Results are the same bits for any number of threads. Throws
/// c10::Error for a target outside [0, V).
std::tuple<at::Tensor, at::Tensor> cross_entropy(const at::Tensor& logits, const at::Tensor& target,
                                                 const std::optional<at::Tensor>& weight, bool gradient);

}  // namespace hmrnn::cpu
