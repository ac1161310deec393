#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/types.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iostream>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/gated_output.h"
#include "support/gradient_check.h"
#include "support/random_problem.h"
#include "support/thread_count.h"

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

/// h of a window with hard boundaries, so that state_index tells which steps share their h.
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
  // The ReLU sets negative sums to 0: if both matrices change their sign, the result is 0.
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
  // W^e h may be computed once per state, but the gates and the gradient of h are needed at each step.
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
  // Layer l changes its state with probability 1, 0.5, 0.1; between changes h is constant.
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
  CHECK_THROWS_WITH(torch::autograd::grad({a[0].sum()}, {gates}),
                    ContainsSubstring("double backward is not supported"));
}

TEST_CASE("gated_output in blocks of rows: the same bits with every number of threads, within rounding of float64") {
  // 140 rows are two full blocks of 64 and a partial one; the upper layer has fewer states. Enough work for a team.
  const int64_t T = 20, B = 7, out = 64;
  const std::vector<int64_t> sizes{41, 24};
  const bool bfloat16 = GENERATE(false, true);
  const auto generator = at::detail::createCPUGenerator(5);
  const auto normal = [&](torch::IntArrayRef shape) { return torch::randn(shape, generator, torch::kFloat32); };
  std::vector<torch::Tensor> h, embedding;
  const auto changed = torch::rand({T, B}, generator, torch::kFloat32).lt(0.5);
  for (const auto d : sizes) {
    h.push_back(normal({T, B, d}));
    embedding.push_back(normal({out, d}) / 8);
  }
  for (int64_t t = 1; t < T; ++t) h[1][t] = torch::where(changed[t].unsqueeze(1), h[1][t], h[1][t - 1]);
  const auto every = torch::ones({T, B}, torch::kInt32).cumsum(0, torch::kInt32);
  const auto index = torch::stack({every, changed.to(torch::kInt32).cumsum(0, torch::kInt32)});
  const auto gates = normal({2, 65}) / 8, grad = normal({T, B, out});

  using Tensors = std::vector<torch::Tensor>;
  const auto run = [&](torch::ScalarType type, const auto& output) {
    const auto leaf = [&](const torch::Tensor& x) { return x.to(type).detach().clone().requires_grad_(); };
    const Tensors x{leaf(h[0]), leaf(h[1])}, w{leaf(embedding[0]), leaf(embedding[1])};
    const auto g = leaf(gates), y = output(x, g, w);
    auto all = torch::autograd::grad({y}, {x[0], x[1], g, w[0], w[1]}, {grad.to(type)});
    all.insert(all.begin(), y.detach());
    return all;
  };
  const auto ours = [&](const Tensors& x, const torch::Tensor& g, const Tensors& w) {
    return gated_output(x, index, g, w, bfloat16 ? std::make_optional(torch::kBFloat16) : std::nullopt);
  };
  const auto one = [&] {
    const ThreadCount threads(1);
    return run(torch::kFloat32, ours);
  }();
  if (!bfloat16) {  // rounding to bfloat16 is tested below
    const auto exact = run(torch::kFloat64, [](const Tensors& x, const torch::Tensor& g, const Tensors& w) {
      return reference_gated_output(x, g, w);
    });
    for (size_t i = 0; i < one.size(); ++i) {
      INFO(i);
      CHECK(distance(one[i].to(torch::kFloat64), exact[i]) < 1e-5 * exact[i].abs().max().item<double>());
    }
  }
  const bool own = bfloat16 ? cpu::choose_backend<c10::BFloat16>() == cpu::ProductBackend::Rows
                            : cpu::choose_backend<float>() == cpu::ProductBackend::Rows;
  if (!own) {
    std::cout << "skipped: a BLAS may sum in another order with more threads" << std::endl;
    return;
  }
  for (const int n : {2, 3, 5}) {
    const ThreadCount threads(n);
    const auto more = run(torch::kFloat32, ours);
    for (size_t i = 0; i < one.size(); ++i) CHECK(torch::equal(more[i], one[i]));
  }
}

TEST_CASE("gated_output takes more rows of the batch than a loop of a team has parts") {
  const int64_t B = 70'000;
  const auto generator = at::detail::createCPUGenerator(6);
  const auto normal = [&](torch::IntArrayRef shape) { return torch::randn(shape, generator, torch::kFloat32); };
  const std::vector<torch::Tensor> h{normal({1, B, 2}).requires_grad_(), normal({1, B, 3}).requires_grad_()};
  const std::vector<torch::Tensor> embedding{normal({2, 2}), normal({2, 3})};
  const auto gates = normal({2, 5}), grad = normal({1, B, 2});
  const ThreadCount threads(2);
  const auto fast = gated_output(h, {}, gates, embedding), plain = reference_gated_output(h, gates, embedding);
  CHECK(distance(fast.detach(), plain.detach()) < 1e-5);
  const auto a = torch::autograd::grad({fast}, h, {grad}), b = torch::autograd::grad({plain}, h, {grad});
  for (size_t l = 0; l < 2; ++l) CHECK(distance(a[l], b[l]) < 1e-5);
}

TEST_CASE("gated_output in bfloat16: output and every gradient equal those that round the same operands") {
  // The explicit formulas of both passes in float64. A sum whose last bit differs may round to the neighbour in
  // bfloat16, 1/256 away (test_hm_lstm_bfloat16.cpp); therefore the median of several draws must be within the bound.
  const auto rounded = [](const torch::Tensor& x) { return x.to(torch::kBFloat16).to(torch::kFloat64); };
  const bool rounds_products = cpu::choose_backend<c10::BFloat16>() != cpu::ProductBackend::Rows;
  const auto result = [&](const torch::Tensor& x) { return rounds_products ? rounded(x) : x; };
  const int64_t T = 4, B = 2, out = 3;
  const std::vector<int64_t> sizes{3, 4};
  std::vector<double> worst;
  for (uint64_t seed = 1; seed <= 9; ++seed) {
    const auto generator = at::detail::createCPUGenerator(seed);
    const auto normal = [&](torch::IntArrayRef shape) { return torch::randn(shape, generator, torch::kFloat32); };
    std::vector<torch::Tensor> h, embedding;
    auto index = torch::zeros({2, T, B}, torch::kInt32);
    for (size_t l = 0; l < 2; ++l) {
      auto x = normal({T, B, sizes[l]});
      for (int64_t t = 1; t < T; ++t) {
        for (int64_t b = 0; b < B; ++b) {  // the upper layer changes its state at every second step
          const bool changes = l == 0 || (t + b) % 2 == 0;
          if (!changes) x[t][b] = x[t - 1][b];
          index[l][t][b] = index[l][t - 1][b] + (changes ? 1 : 0);
        }
      }
      h.push_back(x.requires_grad_());
      embedding.push_back(normal({out, sizes[l]}).requires_grad_());
    }
    const auto gates = normal({2, 7}).requires_grad_(), grad = normal({T, B, out});
    const auto y = gated_output(h, index, gates, embedding, torch::kBFloat16);
    const auto got = torch::autograd::grad({y}, {h[0], h[1], gates, embedding[0], embedding[1]}, {grad});

    const auto wide = [](const torch::Tensor& x) { return x.detach().to(torch::kFloat64); };
    const auto g = torch::sigmoid(torch::cat({wide(h[0]), wide(h[1])}, -1).matmul(wide(gates).t()));  // [T, B, 2]
    std::vector<torch::Tensor> projected;
    torch::Tensor sum = torch::zeros({T, B, out}, torch::kFloat64);
    for (int64_t l = 0; l < 2; ++l) {
      projected.push_back(rounded(rounded(wide(h[l])).matmul(rounded(wide(embedding[l])).t())));
      sum = sum + g.narrow(2, l, 1) * projected[l];
    }
    const auto e = wide(grad) * sum.gt(0);
    std::vector<torch::Tensor> want(5);
    std::vector<torch::Tensor> d_pre;
    for (int64_t l = 0; l < 2; ++l) {
      const auto gate = g.select(2, l);
      d_pre.push_back((e * projected[l]).sum(2) * gate * (1 - gate));
    }
    const auto pre = torch::stack(d_pre, 2);  // [T, B, 2]
    want[2] = torch::einsum("tbl,tbd->ld", {pre, torch::cat({wide(h[0]), wide(h[1])}, -1)});
    for (int64_t l = 0, column = 0; l < 2; column += sizes[l++]) {
      const auto W = rounded(wide(embedding[l]));
      want[l] = g.narrow(2, l, 1) * result(rounded(e).matmul(W)) + pre.matmul(wide(gates).narrow(1, column, sizes[l]));
      auto dW = torch::zeros({out, sizes[l]}, torch::kFloat64);
      for (int64_t b = 0; b < B; ++b) {  // one row of the product per state
        for (int64_t t = 0; t < T;) {
          auto dy = torch::zeros({out}, torch::kFloat64);
          const int64_t first = t, state = index[l][t][b].item<int64_t>();
          for (; t < T && index[l][t][b].item<int64_t>() == state; ++t) dy += g[t][b][l] * e[t][b];
          dW += torch::outer(rounded(dy), rounded(wide(h[l][first][b])));
        }
      }
      want[3 + l] = result(dW);
    }
    double off = distance(wide(y), torch::relu(sum)) / sum.abs().max().item<double>();
    for (size_t i = 0; i < 5; ++i) {
      off = std::max(off, distance(wide(got[i]), want[i]) / want[i].abs().max().item<double>());
    }
    worst.push_back(off);
    if (seed == 1) CHECK(distance(y, gated_output(h, index, gates, embedding)) > 1e-4);  // the result is rounded at all
  }
  std::sort(worst.begin(), worst.end());
  for (const double w : worst) UNSCOPED_INFO(w);
  CHECK(worst[worst.size() / 2] < 1e-5);
  CHECK(worst.back() < 0.1);
}

TEST_CASE("gated_output refuses empty arguments and a product dtype that it does not have") {
  const auto call = [](const OutputProblem& o, std::optional<torch::ScalarType> dtype = std::nullopt) {
    return gated_output(o.h, o.state_index, o.gates, o.embedding, dtype);
  };
  auto units = output_problem({3, 2}, 4, 1);
  for (auto* list : {&units.h, &units.embedding}) (*list)[1] = (*list)[1].narrow(-1, 0, 0);
  units.gates = units.gates.narrow(1, 0, 3);
  CHECK_THROWS_WITH(call(units), ContainsSubstring("h[1] must not be empty"));
  auto rows = output_problem({3, 2}, 4, 1);
  for (auto& x : rows.embedding) x = x.narrow(0, 0, 0);
  CHECK_THROWS_WITH(call(rows), ContainsSubstring("embedding[0] must not be empty"));
  const auto whole = output_problem({3, 2}, 4, 1);  // float64
  CHECK_NOTHROW(call(whole));
  for (const auto dtype : {torch::kHalf, torch::kBFloat16, torch::kFloat}) {
    CHECK_THROWS_WITH(call(whole, dtype), ContainsSubstring("product_dtype must be"));
  }
}

TEST_CASE("gated output refuses a forward-mode derivative, which it would lose") {
  const auto o = output_problem({4, 3}, 5, 103);
  const auto argument = GENERATE(0, 1, 2);
  const auto level = torch::autograd::ForwardADLevel::get_next_idx();
  {
    auto h = o.h, embedding = o.embedding;
    auto gates = o.gates;
    auto& dual = argument == 0 ? h[1] : argument == 1 ? gates : embedding[1];
    dual = dual.detach().clone();
    dual._set_fw_grad(torch::ones_like(dual), level, /*is_inplace_op=*/false);
    CHECK_THROWS_WITH(gated_output(h, o.state_index, gates, embedding), ContainsSubstring("forward-mode derivatives"));
    CHECK(reference_gated_output(h, gates, embedding)._fw_grad(level).defined());
  }
  torch::autograd::ForwardADLevel::release_idx(level);
}
