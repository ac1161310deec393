// Derivatives by central differences, in float64.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "support/tensors.h"

namespace hmrnn::test {

using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

/// Derivative of loss() along `direction` at the leaf `x` by central differences (x is changed in place and restored).
inline double numerical_derivative(const std::function<torch::Tensor()>& loss, const torch::Tensor& x,
                                   const torch::Tensor& direction, double step = 1e-6) {
  torch::NoGradGuard no_grad;
  TORCH_CHECK(x.scalar_type() == torch::kFloat64, "numerical_derivative: float64 only");
  auto at = x.detach();
  const auto kept = at.clone();
  at.copy_(kept + step * direction);
  const double up = loss().item<double>();
  at.copy_(kept - step * direction);
  const double down = loss().item<double>();
  at.copy_(kept);
  return (up - down) / (2 * step);
}

/// Gradients of loss() by autograd; zeros for tensors that it does not depend on.
inline std::vector<torch::Tensor> autograd_gradients(const torch::Tensor& loss, const NamedTensors& leaves) {
  std::vector<torch::Tensor> inputs;
  for (const auto& leaf : leaves) inputs.push_back(leaf.second);
  auto gradients = torch::autograd::grad({loss}, inputs, {}, /*retain_graph=*/true, /*create_graph=*/false,
                                         /*allow_unused=*/true);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (!gradients[i].defined()) gradients[i] = torch::zeros_like(inputs[i]);
  return gradients;
}

/// Checks the gradient of every leaf: of a tensor with at most 6 elements along all unit vectors, else along four
/// random directions in which every element takes part (an error in one element would have to be orthogonal to all
/// four). A leaf whose gradient is 0 fails too, since comparing zeros proves nothing.
inline void check_gradients(const std::function<torch::Tensor()>& loss, const NamedTensors& leaves,
                            double tolerance = 2e-7) {
  const auto analytic = autograd_gradients(loss(), leaves);
  const auto generator = at::detail::createCPUGenerator(97);
  for (size_t i = 0; i < leaves.size(); ++i) {
    const auto& x = leaves[i].second;
    const auto n = x.numel();
    const double size = analytic[i].abs().max().item<double>();
    INFO("gradient of " << leaves[i].first << ", largest element " << size);
    CHECK(size > 1e-6);
    const auto directions = n <= 6 ? torch::eye(n, torch::kFloat64)
                                   : torch::randn({4, n}, generator, torch::TensorOptions(torch::kFloat64));
    for (int64_t k = 0; k < directions.size(0); ++k) {
      const auto direction = directions[k].reshape(x.sizes());
      const double expected = numerical_derivative(loss, x, direction);
      const double got = (analytic[i] * direction).sum().item<double>();
      CHECK(std::abs(got - expected) < tolerance * std::max(1.0, size * std::sqrt(static_cast<double>(n))));
    }
  }
}

}  // namespace hmrnn::test
