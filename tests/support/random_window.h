// A random window of any sizes to compare backends, and the order of its gradients.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn::test {

struct RandomWindowOptions {
  std::vector<int64_t> sizes = {8, 5, 12};
  int64_t input_size = 5;
  int64_t table = 7;
  int64_t steps = 7;
  int64_t batch = 3;
  bool layer_norm = true;
  BoundaryMode mode = BoundaryMode::Step;
  double rate = -1;               ///< < 0: the detector decides; else the rate of drawn boundaries
  bool boundary_gradient = true;  ///< for drawn boundaries
  bool indexed = false;
  bool lengths = false;
  double z0 = -1;  ///< < 0: drawn
  double slope = 1;
  double boundary_bias = 0;
  double recurrent_dropout = 0;
  double locked_dropout = 0;
  uint64_t seed = 1;
  torch::ScalarType dtype = torch::kFloat64;
};

struct RandomWindow {
  std::vector<LayerParameters> layers;
  WindowInput window;
  BoundaryRule rule;
  WindowDropout dropout;

  /// In the order of the operator's differentiable arguments.
  std::vector<torch::Tensor> leaves() const {
    std::vector<torch::Tensor> out;
    for (const auto& leaf : named()) out.push_back(leaf.second);
    return out;
  }
  /// The same window, with its own leaves, on a device.
  RandomWindow to(torch::Device device) const {
    RandomWindow out = *this;
    const auto move = [&](torch::Tensor& x) {
      if (x.defined()) x = x.detach().to(device, x.scalar_type(), false, true).requires_grad_(x.requires_grad());
    };
    for (auto& y : out.layers) {
      for (auto* x : {&y.recurrent, &y.bottom_up, &y.top_down, &y.bias}) move(*x);
      for (auto* norm : {&y.recurrent_norm, &y.bottom_up_norm, &y.top_down_norm, &y.cell_norm}) {
        move(norm->weight), move(norm->bias);
      }
    }
    auto& w = out.window;
    for (auto* list : {&w.h0, &w.c0}) {
      for (auto& x : *list) move(x);
    }
    for (auto* x : {&w.input, &w.index, &w.z0, &w.lengths, &out.rule.slope, &out.rule.given, &out.rule.noise,
                    &out.dropout.seed, &out.dropout.locked_mask})
      move(*x);
    return out;
  }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& leaf : named()) out.push_back(leaf.first);
    return out;
  }

 private:
  std::vector<std::pair<std::string, torch::Tensor>> named() const {
    std::vector<std::pair<std::string, torch::Tensor>> out{{"input", window.input}};
    const auto each = [&](const std::string& name, auto get) {
      for (size_t l = 0; l < layers.size(); ++l) {
        const torch::Tensor x = get(l);
        if (x.defined()) out.emplace_back(name + "[" + std::to_string(l) + "]", x);
      }
    };
    each("h0", [&](size_t l) { return window.h0[l]; });
    each("c0", [&](size_t l) { return window.c0[l]; });
    out.emplace_back("z0", window.z0);
    each("recurrent", [&](size_t l) { return layers[l].recurrent; });
    each("bottom_up", [&](size_t l) { return layers[l].bottom_up; });
    each("top_down", [&](size_t l) { return layers[l].top_down; });
    each("bias", [&](size_t l) { return layers[l].bias; });
    for (const bool weight : {true, false}) {
      for (size_t l = 0; l < layers.size(); ++l) {
        const auto& y = layers[l];
        for (const auto* norm : {&y.recurrent_norm, &y.bottom_up_norm, &y.top_down_norm, &y.cell_norm}) {
          const auto& x = weight ? norm->weight : norm->bias;
          if (x.defined()) out.emplace_back((weight ? "norm weight " : "norm bias ") + std::to_string(out.size()), x);
        }
      }
    }
    return out;
  }
};

inline RandomWindow random_window(const RandomWindowOptions& o) {
  auto generator = at::detail::createCPUGenerator(o.seed);
  const auto f64 = torch::dtype(torch::kFloat64);
  const auto normal = [&](torch::IntArrayRef shape) { return torch::randn(shape, generator, f64); };
  const auto uniform = [&](torch::IntArrayRef shape) { return torch::rand(shape, generator, f64); };
  const auto leaf = [&](const torch::Tensor& x) { return x.to(o.dtype).contiguous().requires_grad_(); };
  const auto L = static_cast<int64_t>(o.sizes.size()), T = o.steps, B = o.batch;
  RandomWindow p;
  for (int64_t l = 0; l < L; ++l) {
    const bool top = l + 1 == L;
    const auto d = o.sizes[l], rows = top ? 4 * d : 4 * d + 1, below = l > 0 ? o.sizes[l - 1] : o.input_size;
    LayerParameters y;
    y.recurrent = leaf(normal({rows, d}) / std::sqrt(static_cast<double>(d)));
    y.bottom_up = leaf(normal({rows, below}) / std::sqrt(static_cast<double>(below)));
    if (!top) y.top_down = leaf(normal({rows, o.sizes[l + 1]}) / std::sqrt(static_cast<double>(o.sizes[l + 1])));
    auto bias = 0.3 * normal({rows});
    if (!top) bias[4 * d] = o.boundary_bias;
    y.bias = leaf(bias);
    if (o.layer_norm) {
      const auto norm = [&](int64_t n) {
        const auto weight = leaf(0.5 + 0.1 * normal({n}));
        return NormParameters{weight, leaf(0.3 * normal({n}))};
      };
      y.recurrent_norm = norm(4 * d);
      y.bottom_up_norm = norm(4 * d);
      if (!top) y.top_down_norm = norm(4 * d);
      y.cell_norm = norm(d);
    }
    p.layers.push_back(y);
    p.window.h0.push_back(leaf(torch::tanh(normal({B, d}))));
    p.window.c0.push_back(leaf(normal({B, d})));
  }
  p.window.z0 = leaf(o.z0 >= 0 ? torch::full({B, L - 1}, o.z0, f64) : uniform({B, L - 1}).round());
  if (o.indexed) {
    p.window.input = leaf(normal({o.table, o.input_size}));
    p.window.index = torch::randint(0, o.table, {T, B}, generator, torch::kInt64);
  } else {
    p.window.input = leaf(normal({T, B, o.input_size}));
  }
  if (o.lengths) {
    p.window.lengths = torch::randint(1, T + 1, {B}, generator, torch::kInt64);
    p.window.lengths[0] = T;
    if (B > 1) p.window.lengths[B - 1] = 1;
  }
  p.rule.mode = o.mode;
  p.rule.slope = torch::tensor(o.slope, torch::dtype(o.dtype));
  p.rule.boundary_gradient = o.boundary_gradient;
  if (o.rate >= 0) p.rule.given = uniform({T, B, L - 1}).lt(o.rate).to(o.dtype);
  if (o.mode == BoundaryMode::Bernoulli) p.rule.noise = uniform({T, B, L - 1}).to(o.dtype);
  if (o.recurrent_dropout > 0) {
    p.dropout.recurrent = o.recurrent_dropout;
    p.dropout.seed = torch::tensor(static_cast<int64_t>(o.seed) * 7919, torch::kInt64);
  }
  if (o.locked_dropout > 0) {
    const auto units = std::accumulate(o.sizes.begin(), o.sizes.end(), int64_t{0});
    p.dropout.locked_mask = uniform({B, units}).ge(o.locked_dropout).to(o.dtype) / (1 - o.locked_dropout);
  }
  return p;
}

}  // namespace hmrnn::test
