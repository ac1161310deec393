#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

namespace hmrnn {

/// gated_output (ops/gated_output.h) with autograd over the backend's operators; contiguous tensors.
torch::Tensor gated_output_autograd(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                                    const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                                    std::optional<torch::ScalarType> product_dtype);

}  // namespace hmrnn
