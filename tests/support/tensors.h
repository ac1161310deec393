// Comparing tensors in tests.
#pragma once

#include <ATen/Context.h>
#include <torch/types.h>

#include <limits>
#include <vector>

namespace hmrnn::test {

/// Largest |a - b|; infinity if shape or dtype differ, or if a value is not finite.
inline double distance(const torch::Tensor& a, const torch::Tensor& b) {
  constexpr double far = std::numeric_limits<double>::infinity();
  if (!a.defined() || !b.defined() || a.sizes() != b.sizes() || a.scalar_type() != b.scalar_type()) return far;
  if (a.numel() == 0) return 0;
  if (!torch::isfinite(a).all().item<bool>() || !torch::isfinite(b).all().item<bool>()) return far;
  return (a.detach().to(torch::kFloat64) - b.detach().to(torch::kFloat64)).abs().max().item<double>();
}

/// Fills new tensors with NaN for its lifetime, so that reading before writing shows.
class PoisonedMemory {
 public:
  PoisonedMemory() : before_(at::globalContext().deterministicAlgorithms()) {
    at::globalContext().setDeterministicAlgorithms(true, false);
  }
  ~PoisonedMemory() { at::globalContext().setDeterministicAlgorithms(before_, false); }
  PoisonedMemory(const PoisonedMemory&) = delete;
  PoisonedMemory& operator=(const PoisonedMemory&) = delete;

 private:
  bool before_;
};

/// Equal bits (no NaN, same shape and dtype).
inline bool same(const torch::Tensor& a, const torch::Tensor& b) {
  return a.defined() && b.defined() && a.scalar_type() == b.scalar_type() && torch::equal(a, b);
}

inline std::vector<double> values(const torch::Tensor& x) {
  const auto flat = x.detach().to(torch::kFloat64).contiguous().reshape({-1});
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

inline torch::Tensor doubles(const std::vector<double>& x, torch::IntArrayRef shape) {
  return torch::tensor(x, torch::kFloat64).reshape(shape);
}

}  // namespace hmrnn::test
