#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/ops/reference.h"

namespace hmrnn {

/// The inputs of one window of the stack. L layers, T steps, B rows (sequences), layer l of d_l units.
struct WindowInput {
  torch::Tensor input;            ///< [T, B, e]; or, with `index`, a table [V, e] of the inputs that occur
  torch::Tensor index;            ///< int64 [T, B], rows of the table; undefined: `input` is the sequence itself
  std::vector<torch::Tensor> h0;  ///< per layer [B, d_l]
  std::vector<torch::Tensor> c0;  ///< per layer [B, d_l]
  torch::Tensor z0;               ///< [B, L-1], the boundaries of the step before the window
  torch::Tensor lengths;          ///< int64 [B] or undefined: steps t ≥ lengths[b] change nothing in row b
};

/// The HM-LSTM over a window (equations 1–7 of the paper, with its f_bound), differentiable once in input, h0, c0, z0
/// and every parameter. With a given segmentation that takes no gradient (`rule.given` without `boundary_gradient`) z0
/// is a constant too. `rule.noise`, `rule.given`: [T, B, L-1]; noise is uniform and drawn by the caller, so that all
/// backends agree.
///
/// Dtypes: input, states and parameters all float32 or all float64; `product_dtype` bfloat16 rounds the operands of the
/// gate products (float32 only), everything else stays float32.
/// `dropout`: regularisers of training, under which a COPY still computes nothing and draws nothing.
/// z0 and given boundaries are 0 or 1, except a soft z0 with soft boundaries.
/// Errors: c10::Error naming the argument, what was expected and what was found; every size is at least 1. Forward-mode
/// derivatives (torch.func.jvp) are an error, except with soft boundaries. The values of an index, of z0 and of
/// given boundaries are checked on a CPU, and on CUDA by the device, since the host would have to wait for them.
///
/// CPU: each product once per change of state (a COPY needs none). CUDA: `load_cuda_library()` or
/// `resolve_device("cuda")` (ops/cuda_library.h) first, then all tensors on the device, also `slope` and `lengths`:
/// otherwise they are copied, which makes the host wait. Dense over time with static shapes, four dependent launches
/// per step, whatever L (or one for the whole window: ops/cuda_persistent.h); the host reads nothing back, so that a
/// call, its backward pass included, can be captured in a CUDA graph whatever the boundary mode, and a replay reads
/// `slope`, noise, lengths, states and parameters anew. Results repeat bit for bit. An `index` out of range, and a
/// boundary that is neither 0 nor 1, is a device-side assertion there, as with torch::embedding. float32 products
/// follow LibTorch's own TF32 switch (`at::globalContext().setAllowTF32CuBLAS(true)`), bfloat16 products are
/// accumulated and stored in float32. Soft boundaries, and devices without a backend of their own, use the composite
/// `reference_window`, in plain ATen, which reads nothing back either.
HMRNN_API WindowResult hm_lstm(const std::vector<LayerParameters>& layers, const WindowInput& window,
                               const BoundaryRule& rule, std::optional<torch::ScalarType> product_dtype = std::nullopt,
                               double eps = 1e-5, const WindowDropout& dropout = {});

}  // namespace hmrnn
