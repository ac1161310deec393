#pragma once

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <optional>

// The operators under torch.autocast: torch.nn.LSTM's kernels use lower precision throughout, ours only for the
// operands of products (product_dtype), so that states and the detectors' decisions stay in float32.

namespace hmrnn {

/// Converts a half-precision tensor, the output of another operator under autocast, to float32; others stay as they
/// are.
inline void to_full_precision(at::Tensor& x) {
  if (x.defined() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf)) x = x.to(at::kFloat);
}

/// bfloat16 if autocast's dtype is bfloat16 and `input` is float32, else nullopt: kernels have no other reduced
/// precision.
inline std::optional<at::ScalarType> autocast_product_dtype(const at::Tensor& input) {
  if (input.scalar_type() != at::kFloat) return std::nullopt;
  const auto type = at::autocast::get_autocast_dtype(input.device().type());
  return type == at::kBFloat16 ? std::make_optional(type) : std::nullopt;
}

}  // namespace hmrnn
