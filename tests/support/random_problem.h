// A window of a random HM-LSTM: parameters, states and inputs from a seed.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>
#include <string>
#include <vector>

#include "hmrnn/ops/hm_lstm.h"
#include "support/gradient_check.h"

namespace hmrnn::test {

struct ProblemOptions {
  std::vector<int64_t> sizes = {4, 3, 5};
  int64_t input_size = 2;
  int64_t steps = 6;
  int64_t batch = 4;
  bool layer_norm = true;
  BoundaryMode mode = BoundaryMode::Step;
  double slope = 1.0;
  uint64_t seed = 1;
  torch::ScalarType dtype = torch::kFloat64;
};

/// Every tensor is a leaf that requires gradients, so that a test can compute the gradient of any of them.
struct Problem {
  std::vector<LayerParameters> layers;
  WindowInput window;
  BoundaryRule rule;
  WindowDropout dropout;
  torch::Generator generator;
  torch::TensorOptions like;

  int64_t num_layers() const { return static_cast<int64_t>(layers.size()); }

  torch::Tensor normal(torch::IntArrayRef shape) const { return torch::randn(shape, generator, like); }
  torch::Tensor uniform(torch::IntArrayRef shape) const { return torch::rand(shape, generator, like); }

  /// Parameters, input and initial state, by name.
  NamedTensors leaves() const {
    NamedTensors out;
    const auto add = [&](const std::string& name, const torch::Tensor& x) {
      if (x.defined()) out.emplace_back(name, x);
    };
    const auto add_norm = [&](const std::string& name, const NormParameters& norm) {
      add(name + ".weight", norm.weight);
      add(name + ".bias", norm.bias);
    };
    for (size_t l = 0; l < layers.size(); ++l) {
      const auto p = "layers." + std::to_string(l) + ".";
      add(p + "recurrent", layers[l].recurrent);
      add(p + "bottom_up", layers[l].bottom_up);
      add(p + "top_down", layers[l].top_down);
      add(p + "bias", layers[l].bias);
      add_norm(p + "recurrent_norm", layers[l].recurrent_norm);
      add_norm(p + "bottom_up_norm", layers[l].bottom_up_norm);
      add_norm(p + "top_down_norm", layers[l].top_down_norm);
      add_norm(p + "cell_norm", layers[l].cell_norm);
      add("h0." + std::to_string(l), window.h0[l]);
      add("c0." + std::to_string(l), window.c0[l]);
    }
    add("input", window.input);
    if (layers.size() > 1) add("z0", window.z0);
    return out;
  }

  /// The same values in another dtype, as leaves.
  Problem to(torch::ScalarType dtype) const {
    Problem out = *this;
    out.like = like.dtype(dtype);
    const auto convert = [&](torch::Tensor& x) {
      if (x.defined() && x.is_floating_point()) x = x.detach().to(dtype).requires_grad_(x.requires_grad());
    };
    for (auto& y : out.layers) {
      for (auto* x : {&y.recurrent, &y.bottom_up, &y.top_down, &y.bias}) convert(*x);
      for (auto* norm : {&y.recurrent_norm, &y.bottom_up_norm, &y.top_down_norm, &y.cell_norm}) {
        convert(norm->weight), convert(norm->bias);
      }
    }
    auto& w = out.window;
    for (auto* list : {&w.h0, &w.c0}) {
      for (auto& x : *list) convert(x);
    }
    for (auto* x : {&w.input, &w.z0, &out.rule.slope, &out.rule.noise, &out.rule.given, &out.dropout.locked_mask}) {
      convert(*x);
    }
    return out;
  }

  WindowResult reference() const {
    return reference_window(layers, window.input, window.h0, window.c0, window.z0, rule, window.lengths, 1e-5, dropout);
  }
  WindowResult op() const { return hm_lstm(layers, window, rule, std::nullopt, 1e-5, dropout); }

  /// Enables recurrent and locked dropout.
  void regularise(double recurrent, double locked) {
    int64_t units = 0;
    for (const auto& layer : layers) units += layer.units();
    dropout.recurrent = recurrent;
    dropout.seed = torch::tensor(int64_t{20161128}, torch::kInt64);
    dropout.locked_mask =
        uniform({window.h0[0].size(0), units}).ge(locked).to(like.dtype().toScalarType()) / (1 - locked);
  }
};

inline Problem random_problem(const ProblemOptions& options) {
  Problem p;
  p.generator = at::detail::createCPUGenerator(options.seed);
  p.like = torch::TensorOptions().dtype(options.dtype);
  const auto leaf = [](torch::Tensor x) { return x.contiguous().requires_grad_(); };
  const auto L = options.sizes.size();
  const auto B = options.batch;
  for (size_t l = 0; l < L; ++l) {
    const auto d = options.sizes[l], below = l == 0 ? options.input_size : options.sizes[l - 1];
    const bool top = l + 1 == L;
    const auto rows = top ? 4 * d : 4 * d + 1;
    const auto weight = [&](int64_t columns) {
      return leaf(p.normal({rows, columns}) * (0.8 / std::sqrt(static_cast<double>(columns))));
    };
    const auto norm = [&](int64_t size) {
      return NormParameters{leaf(1 + 0.3 * p.normal({size})), leaf(0.3 * p.normal({size}))};
    };
    LayerParameters layer;
    layer.recurrent = weight(d);
    layer.bottom_up = weight(below);
    if (!top) layer.top_down = weight(options.sizes[l + 1]);
    auto bias = 0.3 * p.normal({rows});
    if (!top) bias.narrow(0, 4 * d, 1).fill_(0.1);  // about half of the boundaries fire, so that every operation occurs
    layer.bias = leaf(bias);
    if (options.layer_norm) {
      layer.recurrent_norm = norm(4 * d);
      layer.bottom_up_norm = norm(4 * d);
      if (!top) layer.top_down_norm = norm(4 * d);
      layer.cell_norm = norm(d);
    }
    p.layers.push_back(layer);
    p.window.h0.push_back(leaf(p.uniform({B, d}) * 1.6 - 0.8));
    p.window.c0.push_back(leaf(p.normal({B, d})));
  }
  p.window.input = leaf(p.normal({options.steps, B, options.input_size}));
  auto z0 = p.uniform({B, static_cast<int64_t>(L) - 1});
  if (options.mode == BoundaryMode::Soft) {
    z0 = 0.1 + 0.8 * z0;
  } else {
    z0 = z0.gt(0.5).to(options.dtype);
    z0.select(0, 0).fill_(0);  // c0 is kept in at least one row, flushed in at least one (if there are two)
    if (B > 1) z0.select(0, B - 1).fill_(1);
  }
  p.window.z0 = leaf(z0);
  p.rule.mode = options.mode;
  p.rule.slope = torch::tensor(options.slope, p.like);
  if (options.mode == BoundaryMode::Bernoulli)
    p.rule.noise = p.uniform({options.steps, B, static_cast<int64_t>(L) - 1});
  return p;
}

/// A scalar in which every element of every differentiable output has a different weight.
inline torch::Tensor weighted_sum(const WindowResult& result, uint64_t seed = 7) {
  auto generator = at::detail::createCPUGenerator(seed);
  torch::Tensor sum;
  const auto add = [&](const torch::Tensor& x) {
    // drawn in float64, so that the loss does not depend on the dtype
    const auto weight = torch::randn(x.sizes(), generator, torch::TensorOptions(torch::kFloat64));
    const auto term = (x * weight.to(x.options())).sum();
    sum = sum.defined() ? sum + term : term;
  };
  for (const auto& h : result.h) add(h);
  for (const auto& c : result.c_n) add(c);
  if (result.z.numel() > 0) add(result.z);
  return sum;
}

}  // namespace hmrnn::test
