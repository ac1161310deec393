#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <cmath>
#include <vector>

#include <torch/autograd.h>

#include <array>

#include "catch.h"
#include "hmrnn/ops/gated_output.h"
#include "support/gradient_check.h"
#include "support/random_problem.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct OutputProblem {
  std::vector<torch::Tensor> h, embedding;
  torch::Tensor gates, state_index;

  NamedTensors leaves() const {
    NamedTensors out = {{"gates", gates}};
    for (size_t l = 0; l < h.size(); ++l) {
      out.emplace_back("h." + std::to_string(l), h[l]);
      out.emplace_back("embedding." + std::to_string(l), embedding[l]);
    }
    return out;
  }
};

/// h of a hard-boundary window, so that state_index says which steps share their h.
OutputProblem output_problem(const std::vector<int64_t>& sizes, int64_t out, uint64_t seed, int64_t steps = 5) {
  const auto p = random_problem({.sizes = sizes, .steps = steps, .batch = 3, .seed = seed});
  const auto window = p.reference();
  OutputProblem o;
  int64_t total = 0;
  for (const auto d : sizes) total += d;
  for (size_t l = 0; l < sizes.size(); ++l) {
    o.h.push_back(window.h[l].detach().contiguous().requires_grad_());
    o.embedding.push_back(p.normal({out, sizes[l]}).requires_grad_());
  }
  o.gates = p.normal({static_cast<int64_t>(sizes.size()), total}).requires_grad_();
  o.state_index = window.state_index;
  return o;
}

}  // namespace

TEST_CASE("gated output against numbers worked out by hand") {
  // Two layers of 2 and 1 units, two outputs, one step, one row.
  //   h = (1, -2; 0.5), gates = ((0.3, 0.1, -0.4), (-0.2, 0.5, 1))
  //   g1 = σ(0.3 - 0.2 - 0.2) = σ(-0.1),  g2 = σ(-0.2 - 1 + 0.5) = σ(-0.7)
  //   W1 h1 = (0.5 - 2, 2 + 1) = (-1.5, 3) with W1 = ((0.5, 1), (2, -0.5));  W2 h2 = (4, -1) with W2 = (8, -2)
  const double g1 = 1 / (1 + std::exp(0.1)), g2 = 1 / (1 + std::exp(0.7));
  const std::vector<torch::Tensor> h = {doubles({1, -2}, {1, 1, 2}), doubles({0.5}, {1, 1, 1})};
  const std::vector<torch::Tensor> embedding = {doubles({0.5, 1, 2, -0.5}, {2, 2}), doubles({8, -2}, {2, 1})};
  const auto gates = doubles({0.3, 0.1, -0.4, -0.2, 0.5, 1}, {2, 3});
  const auto expected = doubles({-1.5 * g1 + 4 * g2, 3 * g1 - g2}, {1, 1, 2});
  REQUIRE(expected.gt(0).all().item<bool>());
  CHECK(distance(reference_gated_output(h, gates, embedding), expected) < 1e-14);
  CHECK(distance(gated_output(h, torch::Tensor(), gates, embedding), expected) < 1e-14);
  // Negative sums are cut by the ReLU: with the sign of both matrices changed nothing is left.
  CHECK(distance(gated_output(h, torch::Tensor(), gates, {-embedding[0], -embedding[1]}),
                 torch::zeros({1, 1, 2}, torch::kFloat64)) == 0);
}

TEST_CASE("every derivative of the gated output, numerically") {
  const auto sizes = GENERATE(std::vector<int64_t>{3}, std::vector<int64_t>{2, 4, 3});
  const auto o = output_problem(sizes, 4, 101, 3);
  const auto weight = torch::randn({3, 3, 4}, at::detail::createCPUGenerator(9), torch::kFloat64);
  check_gradients([&] { return (gated_output(o.h, torch::Tensor(), o.gates, o.embedding) * weight).sum(); },
                  o.leaves());
}

TEST_CASE("the gradient of a repeated state reaches every step that shows it") {
  // W^e h may be computed once per state, but the gates and the gradient of h belong to each step.
  const auto o = output_problem({4, 3, 5}, 6, 102, 12);
  const auto index = o.state_index;
  REQUIRE((index.slice(1, 1) == index.slice(1, 0, 11)).any().item<bool>());
  const auto weight = torch::randn({12, 3, 6}, at::detail::createCPUGenerator(9), torch::kFloat64);
  const auto with_index = gated_output(o.h, index, o.gates, o.embedding);
  const auto plain = reference_gated_output(o.h, o.gates, o.embedding);
  CHECK(distance(with_index, plain) < 1e-12);
  const auto leaves = o.leaves();
  const auto a = autograd_gradients((with_index * weight).sum(), leaves);
  const auto b = autograd_gradients((plain * weight).sum(), leaves);
  for (size_t k = 0; k < leaves.size(); ++k) {
    INFO(leaves[k].first);
    CHECK(distance(a[k], b[k]) < 1e-11);
    if (leaves[k].first[0] == 'h') CHECK(a[k].abs().sum(2).gt(0).all().item<bool>());
  }
}

TEST_CASE("gated_output computes W h once per state and still sends each step its own gradient") {
  torch::manual_seed(41);
  const int64_t T = 9, B = 4, out = 6;
  const std::vector<int64_t> sizes{5, 9, 17};
  // Layer l changes its state with probability 1, 0.5, 0.1; h is constant while it does not.
  std::vector<torch::Tensor> h, index;
  for (size_t l = 0; l < sizes.size(); ++l) {
    const double rate = std::array<double, 3>{1.0, 0.5, 0.1}[l];
    const auto changed = torch::rand({T, B}).lt(rate);
    auto x = torch::randn({T, B, sizes[l]}, torch::kFloat64);
    for (int64_t t = 1; t < T; ++t) x[t] = torch::where(changed[t].unsqueeze(1), x[t], x[t - 1]);
    h.push_back(x.requires_grad_());
    index.push_back(changed.to(torch::kInt32).cumsum(0, torch::kInt32));
  }
  const auto state_index = torch::stack(index);
  const auto gates = torch::randn({3, 31}, torch::kFloat64).requires_grad_();
  std::vector<torch::Tensor> embedding;
  for (const auto d : sizes) embedding.push_back(torch::randn({out, d}, torch::kFloat64).requires_grad_());

  const auto fast = hmrnn::gated_output(h, state_index, gates, embedding);
  const auto dense = hmrnn::reference_gated_output(h, gates, embedding);
  CHECK((fast - dense).abs().max().item<double>() < 1e-12);
  std::vector<torch::Tensor> leaves = h;
  leaves.push_back(gates);
  leaves.insert(leaves.end(), embedding.begin(), embedding.end());
  const auto cotangent = torch::randn_like(fast);
  const auto a = torch::autograd::grad({(fast * cotangent).sum()}, leaves, {}, true, true);
  const auto b = torch::autograd::grad({(dense * cotangent).sum()}, leaves);
  for (size_t i = 0; i < a.size(); ++i) CHECK((a[i] - b[i]).abs().max().item<double>() < 1e-12);
  CHECK_THROWS_WITH(torch::autograd::grad({a[0].sum()}, {gates}), ContainsSubstring("double backward is not supported"));
  // In bfloat16 each of at most 17 products of size 1 is off by 2^-8, and the result is rounded once more.
  std::vector<torch::Tensor> h32, w32;
  for (const auto& x : h) h32.push_back(x.detach().to(torch::kFloat32));
  for (const auto& x : embedding) w32.push_back(x.detach().to(torch::kFloat32));
  const auto rounded =
      hmrnn::gated_output(h32, state_index, gates.detach().to(torch::kFloat32), w32, torch::kBFloat16).to(torch::kFloat64);
  const double off = (rounded - dense).abs().max().item<double>();
  CHECK(off > 0);
  CHECK(off < 3 * 17 / 256.0);
}
