// Comparison of hm_lstm's backends over random windows, with every gradient.
#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/hm_lstm.h"
#include "support/random_window.h"
#include "support/tensors.h"

namespace hmrnn::test {

struct Outcome {
  WindowResult result;
  std::vector<torch::Tensor> gradients;  // of the leaves
  int64_t launches = 0;
};

inline std::vector<torch::Tensor> outputs(const WindowResult& r) {
  std::vector<torch::Tensor> out = r.h;
  out.insert(out.end(), r.c_n.begin(), r.c_n.end());
  out.push_back(r.z);
  return out;
}

/// A cotangent for each output; `some`: only every second output has one.
inline std::vector<torch::Tensor> cotangents(const WindowResult& r, bool some) {
  auto generator = at::detail::createCPUGenerator(5);
  std::vector<torch::Tensor> out;
  for (const auto& x : outputs(r)) {
    const auto v = torch::randn(x.sizes(), generator, torch::TensorOptions(x.scalar_type())).to(x.device());
    out.push_back(some && out.size() % 2 == 0 ? torch::Tensor() : v);
  }
  return out;
}

/// Adds the gradients.
inline Outcome with_gradients(const RandomWindow& p, bool some, Outcome out) {
  const auto all = outputs(out.result), seeds = cotangents(out.result, some);
  std::vector<torch::Tensor> ends, directions;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!seeds[i].defined() || !all[i].requires_grad() || all[i].numel() == 0) continue;
    ends.push_back(all[i]);
    directions.push_back(seeds[i]);
  }
  const auto g = torch::autograd::grad(ends, p.leaves(), directions, false, false, true);
  out.gradients.assign(g.begin(), g.end());
  return out;
}

/// With the operator for the tensors' device.
inline Outcome by_operator(const RandomWindow& p, bool some,
                           std::optional<torch::ScalarType> product_dtype = std::nullopt) {
  Outcome out;
  out.result = hm_lstm(p.layers, p.window, p.rule, product_dtype, 1e-5, p.dropout);
  return with_gradients(p, some, std::move(out));
}

/// With the reference.
inline Outcome by_reference(const RandomWindow& p, bool some) {
  Outcome out;
  const auto& w = p.window;
  const auto input = w.index.defined() ? torch::embedding(w.input, w.index) : w.input;
  out.result = reference_window(p.layers, input, w.h0, w.c0, w.z0, p.rule, w.lengths, 1e-5, p.dropout);
  return with_gradients(p, some, std::move(out));
}
/// Largest difference of outputs and gradients, relative to the largest value of each tensor (at least 1). If it
/// exceeds `bound`, fails with the tensor's name.
inline double difference(const RandomWindow& p, const Outcome& a, const Outcome& b, double bound = 1e-3) {
  double worst = 0;
  const auto compare = [&](const std::string& name, const torch::Tensor& x, const torch::Tensor& y) {
    INFO(name);
    if (x.defined() && y.defined()) REQUIRE(x.sizes() == y.sizes());
    const auto zero = torch::zeros_like(y.defined() ? y : x).detach();
    const double scale = y.defined() && y.numel() > 0 ? std::max(1.0, y.detach().abs().max().item<double>()) : 1.0;
    const double e = distance((x.defined() ? x.detach() : zero).cpu(), (y.defined() ? y.detach() : zero).cpu()) / scale;
    if (e > bound) CHECK(e < bound);
    worst = std::max(worst, e);
  };
  const auto x = outputs(a.result), y = outputs(b.result);
  for (size_t i = 0; i < x.size(); ++i) compare("output " + std::to_string(i), x[i], y[i]);
  CHECK(torch::equal(a.result.state_index.cpu(), b.result.state_index.cpu()));
  const auto names = p.names();
  REQUIRE(names.size() == a.gradients.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (p.layers.size() == 1 && names[i] == "z0") continue;  // empty
    compare("gradient of " + names[i], a.gradients[i], b.gradients[i]);
  }
  return worst;
}

/// The same window with parameters and states as views of a larger buffer, each one value after a multiple of 16 bytes.
inline RandomWindow not_aligned(const RandomWindow& p) {
  auto out = p;
  const auto shift = [](torch::Tensor& x) {
    if (!x.defined()) return;
    const auto y =
        torch::empty({x.numel() + 1}, x.options().requires_grad(false)).narrow(0, 1, x.numel()).view(x.sizes());
    y.copy_(x.detach());
    x = y.requires_grad_(x.requires_grad());
  };
  for (auto& y : out.layers) {
    for (auto* x : {&y.recurrent, &y.bottom_up, &y.top_down, &y.bias, &y.recurrent_norm.weight, &y.recurrent_norm.bias,
                    &y.bottom_up_norm.weight, &y.bottom_up_norm.bias, &y.top_down_norm.weight, &y.top_down_norm.bias,
                    &y.cell_norm.weight, &y.cell_norm.bias})
      shift(*x);
  }
  for (auto* list : {&out.window.h0, &out.window.c0}) {
    for (auto& x : *list) shift(x);
  }
  for (auto* x : {&out.window.input, &out.window.z0}) shift(*x);
  return out;
}

/// Checks that the operator gives the same bits again, and also without gradients.
inline void check_repeats(const RandomWindow& p, std::optional<torch::ScalarType> product_dtype = std::nullopt) {
  const auto once = by_operator(p, false, product_dtype), again = by_operator(p, false, product_dtype);
  for (size_t i = 0; i < once.gradients.size(); ++i) {
    INFO(p.names()[i]);
    CHECK(same(once.gradients[i], again.gradients[i]));
  }
  torch::NoGradGuard no_grad;
  const auto quick = hm_lstm(p.layers, p.window, p.rule, product_dtype, 1e-5, p.dropout);
  for (size_t l = 0; l < p.layers.size(); ++l) {
    CHECK(same(once.result.h[l].detach(), quick.h[l]));
    CHECK(same(once.result.c_n[l].detach(), quick.c_n[l]));
  }
  CHECK(same(once.result.state_index, quick.state_index));
}

struct WindowKind {
  std::string name;
  RandomWindowOptions options;
  bool some_gradients;  // only some outputs have gradients
};

/// Windows of one to three layers that cover all distinctions of an operator: layer norm, how boundaries are decided or
/// given and at which rate, their gradient, a table or a sequence, lengths, z0, slope, dropout.
inline std::vector<WindowKind> window_kinds() {
  std::vector<WindowKind> out;
  const std::vector<int64_t> sizes{8, 5, 12};
  for (int64_t layers = 1; layers <= 3; ++layers) {
    for (const bool norm : {false, true}) {
      for (int kind = 0; kind < 18; ++kind) {
        RandomWindowOptions o;
        o.sizes.assign(sizes.begin(), sizes.begin() + layers);
        o.layer_norm = norm;
        o.indexed = kind % 2 == 0;
        o.lengths = kind % 3 == 2;
        o.slope = kind % 3 == 0 ? 1.0 : kind % 3 == 1 ? 1.7 : 0.4;
        if (kind < 3) o.boundary_bias = std::array<double, 3>{-0.4, 0.0, 0.3}[kind];
        if (kind == 3 || kind == 4) o.mode = BoundaryMode::Bernoulli;
        if (kind >= 5 && kind < 9) o.rate = std::array<double, 4>{0, 0.2, 0.6, 1}[kind - 5];
        if (kind >= 9 && kind < 12) o.rate = std::array<double, 3>{0, 0.4, 1}[kind - 9], o.boundary_gradient = false;
        if (kind >= 12) {
          o.recurrent_dropout = kind % 3 == 0 ? 0 : 0.4;
          o.locked_dropout = kind % 3 == 1 ? 0 : 0.3;
          if (kind == 14) o.mode = BoundaryMode::Bernoulli;
          if (kind >= 15) o.rate = std::array<double, 3>{0.6, 0.3, 1}[kind - 15], o.boundary_gradient = kind != 16;
        }
        o.z0 = kind == 7 || kind == 9 ? 1 : -1;
        o.seed = 100 * layers + kind + (norm ? 50 : 0);
        out.push_back(
            {std::to_string(layers) + " layers, norm " + std::to_string(norm) + ", kind " + std::to_string(kind), o,
             kind == 4 || kind == 6});
      }
    }
  }
  return out;
}

}  // namespace hmrnn::test
