#pragma once

// The gated output over a window, batched over time: on a device nothing is gained by computing W^e h once for each
// state, since a captured graph has static shapes. Free of CUDA: tests run the same code on the host.
//
// Launches: forwards two products per layer (gates, W^e h), the sigmoid, one kernel; backwards one kernel and four
// products per layer. In bfloat16 also a conversion of each operand.

#include <ATen/ATen.h>

#include <tuple>
#include <vector>

#include "hmrnn/ops/cuda/gated_output_kernels.h"

namespace hmrnn::cuda {

/// Contiguous arguments (ops/gated_output.h) → output [T, B, out] and what backward needs.
template <class T, class P>
std::tuple<at::Tensor, std::vector<at::Tensor>> gated_output_forward(at::TensorList h, const at::Tensor& gates,
                                                                     at::TensorList embedding,
                                                                     GatedOutputKernels<T, P>& kernels);

/// Gradients of h per layer, of gates, and of embedding per layer.
template <class T, class P>
std::vector<at::Tensor> gated_output_backward(at::TensorList h, const at::Tensor& gates, at::TensorList embedding,
                                              const at::Tensor& output, at::TensorList saved, const at::Tensor& grad,
                                              GatedOutputKernels<T, P>& kernels);

}  // namespace hmrnn::cuda
