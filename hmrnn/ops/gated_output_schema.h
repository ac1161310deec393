#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <vector>

// The C++ signatures of the gated output's operators, for the dispatcher.

namespace hmrnn {

using GatedOutputOperator = at::Tensor(at::TensorList h, const std::optional<at::Tensor>& state_index,
                                       const at::Tensor& gates, at::TensorList embedding,
                                       std::optional<at::ScalarType> product_dtype);
/// Output [T, B, out], and what the backend's backward needs, packed (ops/saved_tensors.h).
using GatedOutputForwardOperator = std::tuple<at::Tensor, at::Tensor>(at::TensorList h,
                                                                      const std::optional<at::Tensor>& state_index,
                                                                      const at::Tensor& gates, at::TensorList embedding,
                                                                      std::optional<at::ScalarType> product_dtype);
/// `output`, `saved`: what forward returned; `grad` [T, B, out], contiguous. Gradients of h per layer, gates, embedding
/// per layer.
using GatedOutputBackwardOperator = std::vector<at::Tensor>(at::TensorList h, const at::Tensor& gates,
                                                            at::TensorList embedding, const at::Tensor& output,
                                                            const at::Tensor& saved, const at::Tensor& grad,
                                                            std::optional<at::ScalarType> product_dtype);

}  // namespace hmrnn
