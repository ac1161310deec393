#include "hmrnn/ops/recurrent_dropout.h"

#include "hmrnn/ops/dropout_bits.h"
#include "hmrnn/ops/reference.h"

namespace hmrnn {

namespace {

constexpr int64_t kLow32 = 0xffffffff;

int64_t as_signed(uint64_t x) { return static_cast<int64_t>(x); }

/// Logical shift: x >> bits of unsigned numbers.
torch::Tensor shifted(const torch::Tensor& x, int64_t bits) {
  return at::bitwise_and(at::bitwise_right_shift(x, bits), as_signed(~uint64_t{0} >> bits));
}

torch::Tensor mix64(torch::Tensor x) {
  x = at::bitwise_xor(x, shifted(x, 30)).mul(as_signed(0xbf58476d1ce4e5b9u));
  x = at::bitwise_xor(x, shifted(x, 27)).mul(as_signed(0x94d049bb133111ebu));
  return at::bitwise_xor(x, shifted(x, 31));
}

}  // namespace

torch::Tensor recurrent_dropout_factors(const torch::Tensor& seed, int64_t layer, const torch::Tensor& state,
                                        int64_t units, double p, const torch::TensorOptions& options) {
  // ATen has no unsigned arithmetic; signed arithmetic in 64 bits gives the same bits.
  constexpr uint64_t kGolden = 0x9e3779b97f4a7c15u;
  const auto longs = state.options().dtype(torch::kInt64);
  const auto number = [&](const torch::Tensor& x) { return x.add(1).mul(as_signed(kGolden)); };
  auto key = mix64(seed.add(as_signed(kGolden * static_cast<uint64_t>(layer + 1))));
  key = mix64(key + number(torch::arange(static_size(state, 0), longs)));
  key = mix64(key + number(state.to(torch::kInt64))).unsqueeze(1);  // [B, 1]

  auto x = at::bitwise_xor(torch::arange(units, longs), at::bitwise_and(key, kLow32));
  const auto low = [](const torch::Tensor& y) { return at::bitwise_and(y, kLow32); };
  x = low(at::bitwise_xor(x, shifted(x, 16)).mul(0x7feb352d));
  x = low(at::bitwise_xor(x, shifted(x, 15)) + shifted(key, 32));
  x = low(x.mul(as_signed(0x846ca68bu)));
  x = shifted(at::bitwise_xor(x, shifted(x, 16)), 32 - cell::kDropoutBits);
  return x.ge(static_cast<int64_t>(cell::dropout_threshold(p))).to(options.dtype().toScalarType()).mul(1 / (1 - p));
}

}  // namespace hmrnn
