#pragma once

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>

#include <optional>

// What the operators do under torch.autocast: torch.nn.LSTM's kernels take lower precision throughout, ours for the
// operands of products only (product_dtype), so that states and the detectors' decisions stay in float32.

namespace hmrnn {

/// A tensor of half precision, which another operator has made under autocast, as float32; others stay as they are.
inline void to_full_precision(at::Tensor& x) {
  if (x.defined() && (x.scalar_type() == at::kBFloat16 || x.scalar_type() == at::kHalf)) x = x.to(at::kFloat);
}

/// bfloat16 where autocast's dtype is that and `input` is float32; nothing else has products of its own.
inline std::optional<at::ScalarType> autocast_product_dtype(const at::Tensor& input) {
  if (input.scalar_type() != at::kFloat) return std::nullopt;
  const auto type = at::autocast::get_autocast_dtype(input.device().type());
  return type == at::kBFloat16 ? std::make_optional(type) : std::nullopt;
}

}  // namespace hmrnn
