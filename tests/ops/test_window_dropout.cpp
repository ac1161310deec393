// Recurrent and locked dropout of a window: the bits, the reference, the operator.
#include <ATen/Parallel.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/types.h>

#include <cmath>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/dropout_bits.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/ops/recurrent_dropout.h"
#include "support/dense_window.h"
#include "support/random_problem.h"
#include "support/window_comparison.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

torch::Tensor seed_of(int64_t seed) { return torch::tensor(seed, torch::kInt64); }

/// Correlation of two sets of draws.
double correlation(const torch::Tensor& x, const torch::Tensor& y) {
  const auto a = x.to(torch::kFloat64) - x.to(torch::kFloat64).mean(),
             b = y.to(torch::kFloat64) - y.to(torch::kFloat64).mean();
  return ((a * b).mean() / torch::sqrt(a.square().mean() * b.square().mean())).item<double>();
}

/// The units that are kept: [layers, states, rows, units].
torch::Tensor kept(int64_t seed, double p, int64_t layers, int64_t states, int64_t rows, int64_t units) {
  std::vector<torch::Tensor> out;
  for (int64_t l = 0; l < layers; ++l) {
    for (int64_t state = 0; state < states; ++state) {
      const auto factors = recurrent_dropout_factors(seed_of(seed), l, torch::full({rows}, state, torch::kInt64), units,
                                                     p, torch::kFloat32);
      out.push_back(factors.gt(0).to(torch::kFloat32));
    }
  }
  return torch::stack(out).view({layers, states, rows, units});
}

}  // namespace

TEST_CASE("the bits of recurrent dropout: a published finaliser, and the same in ATen's operators") {
  // The first two numbers of SplitMix64 from state 0.
  CHECK(cell::mix64(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
  CHECK(cell::mix64(2 * 0x9e3779b97f4a7c15u) == 0x6e789e6aa1b965f4u);
  // Computed independently of this code, with integers of arbitrary size.
  const auto bits = [](uint32_t unit, uint32_t first, uint32_t second) {
    cell::unit_bits(unit, first, second);
    return unit;
  };
  CHECK(bits(1, 0, 0) == 0x688990u);
  CHECK(bits(511, 0xdeadbeefu, 0x12345678u) == 0x707649u);
  const auto some =
      recurrent_dropout_factors(seed_of(20161128), 1, torch::tensor({0, 3}, torch::kInt32), 12, 0.4, torch::kFloat64);
  const auto expected =
      doubles({1, 0, 1, 1, 1, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1, 1}, {2, 12}) / 0.6;
  CHECK(distance(some, expected) < 1e-15);

  const auto state = torch::tensor({0, 1, 7, 100000, 2147483647}, torch::kInt32);
  for (const int64_t seed : {int64_t{0}, int64_t{-1}, int64_t{123456789012345}, std::numeric_limits<int64_t>::max()}) {
    for (const double p : {0.01, 0.25, 0.9}) {
      for (const int64_t layer : {0, 1, 5}) {
        const auto factors = recurrent_dropout_factors(seed_of(seed), layer, state, 37, p, torch::kFloat64);
        const cell::DropoutRule<double> rule(p);
        const cell::DropoutRule<float> narrow(p);
        for (int64_t b = 0; b < 5; ++b) {
          const auto number = state[b].item<int64_t>();
          for (int64_t j = 0; j < 37; ++j) {
            const auto u = static_cast<uint32_t>(j);
            REQUIRE(factors[b][j].item<double>() == rule.of(seed, layer, b, number).factor(u));
            REQUIRE(static_cast<float>(factors[b][j].item<double>()) == narrow.of(seed, layer, b, number).factor(u));
          }
        }
      }
    }
  }
}

TEST_CASE("recurrent dropout drops at its rate, and neighbours do not depend on each other") {
  const double p = GENERATE(0.1, 0.25, 0.5);
  const auto x = kept(42, p, 2, 20, 40, 500);  // 800,000 draws
  const double deviation = std::sqrt(p * (1 - p) / static_cast<double>(x.numel()));
  CHECK(std::abs(x.mean().item<double>() - (1 - p)) < 4 * deviation);
  // The smallest and the largest rate of a unit, a row or a state, over 1600, 20000 and 40000 draws.
  const auto spread = [&](const torch::Tensor& means, double draws) {
    const double far = (means - (1 - p)).abs().max().item<double>();
    return far / std::sqrt(p * (1 - p) / draws);
  };
  CHECK(spread(x.mean({0, 1, 2}), 1600) < 4.5);
  CHECK(spread(x.mean({0, 1, 3}), 20000) < 4.5);
  CHECK(spread(x.mean({0, 2, 3}), 40000) < 4.5);
  // The correlation of n independent draws has a standard deviation of 1/√n.
  const auto independent = [&](const char* what, const torch::Tensor& a, const torch::Tensor& b) {
    INFO(what);
    CHECK(std::abs(correlation(a, b)) < 4.5 / std::sqrt(static_cast<double>(a.numel())));
  };
  for (const int64_t apart : {1, 2, 3, 4, 8, 16, 64, 256}) {
    independent("units", x.narrow(3, 0, 500 - apart), x.narrow(3, apart, 500 - apart));
  }
  for (const int64_t apart : {1, 2, 8}) {
    independent("rows", x.narrow(2, 0, 40 - apart), x.narrow(2, apart, 40 - apart));
    independent("states", x.narrow(1, 0, 20 - apart), x.narrow(1, apart, 20 - apart));
  }
  independent("layers", x[0], x[1]);
  independent("a row and the state after it", x.narrow(1, 0, 19).narrow(2, 1, 39), x.narrow(1, 1, 19).narrow(2, 0, 39));
  for (const int64_t other : {43, 41, 42 + (1 << 16)}) independent("seeds", x, kept(other, p, 2, 20, 40, 500));
}

TEST_CASE("masks of a step against numbers worked out by hand") {
  // The unit of test_reference.cpp: h = 0.3, c = 0.7, below = 1.5, above = -0.4.
  LayerParameters layer;
  layer.recurrent = doubles({0.5, -0.3, 0.8, 0.2, 0.4}, {5, 1});
  layer.bottom_up = doubles({-0.6, 0.7, 0.1, 0.9, 0.3}, {5, 1});
  layer.top_down = doubles({0.2, 0.4, -0.5, 0.6, -0.7}, {5, 1});
  layer.bias = doubles({0.1, -0.2, 0.3, -0.4, 0.05}, {5});
  BoundaryRule rule;
  rule.mode = BoundaryMode::Soft;
  rule.slope = torch::tensor(1.0, torch::kFloat64);
  struct Hand {
    double z, z_below, written, below, above;  // the masks
    double c, h, probability;                  // expected
  };
  const auto hand = GENERATE(
      // UPDATE, c = 0.7 f + m i g with f = 0.34298954, i = 0.68135373, g = 0.76576202
      Hand{0, 1, 2, 1, 1, 1.2836022967833387, 0.5710278352072189, 0.81},
      Hand{0, 1, 0, 1, 1, 0.2400926761285508, 0.1568906757066077, 0.81},
      // UPDATE whose gates do not read the input, but whose boundary does: s of COPY, s_z of UPDATE
      Hand{0, 1, 1, 0, 1, 0.2533619592644209, 0.15673771347416665, 0.81},
      // FLUSH with V's gate rows reading -0.8: s = (0.09, -0.61, 0.94, -0.82), s_z unchanged
      Hand{1, 0, 1.25, 1, 2, -0.2970806983439951, -0.20756005162486815, 0.725},
      // COPY
      Hand{0, 0, 2, 0, 2, 0.7, 0.3, 0.585});
  const auto one = [](double x) { return doubles({x}, {1, 1}); };
  const StepDropout dropout{one(hand.written), one(hand.below), one(hand.above)};
  const auto [h, c, z] = reference_step(layer, one(1.5), doubles({hand.z_below}, {1}), one(0.3), one(0.7),
                                        doubles({hand.z}, {1}), one(-0.4), rule, 1e-5, dropout);
  CHECK(c.item<double>() == Approx(hand.c).margin(1e-14));
  CHECK(h.item<double>() == Approx(hand.h).margin(1e-14));
  CHECK(z.item<double>() == Approx(hand.probability).margin(1e-14));
}

TEST_CASE("a regularised window and its gradients equal the dense statement") {
  const bool by_op = GENERATE(false, true);
  const bool norm = GENERATE(false, true);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft);
  INFO((by_op ? "op" : "reference") << ", layer norm " << norm << ", " << to_string(mode));
  auto p = random_problem(
      {.sizes = {3, 5, 4}, .steps = 9, .batch = 8, .layer_norm = norm, .mode = mode, .slope = 1.5, .seed = 131});
  p.regularise(0.4, 0.3);
  const auto got = by_op ? p.op() : p.reference(), expected = dense_window(p);
  const auto plain = [&] {
    auto q = p;
    q.dropout = {};
    return q.op();
  }();
  for (size_t l = 0; l < 3; ++l) {
    CHECK(distance(got.h[l], expected.h[l]) < 1e-10);
    CHECK(distance(got.c_n[l], expected.c_n[l]) < 1e-10);
    CHECK(distance(got.h[l], plain.h[l]) > 1e-3);
  }
  CHECK(distance(got.z, expected.z) < 1e-10);
  const auto leaves = p.leaves();
  const auto a = autograd_gradients(weighted_sum(got), leaves), b = autograd_gradients(weighted_sum(expected), leaves);
  for (size_t k = 0; k < leaves.size(); ++k) {
    INFO("gradient of " << leaves[k].first);
    CHECK(distance(a[k], b[k]) < 1e-9 * std::max(1.0, b[k].abs().max().item<double>()));
  }
}

TEST_CASE("every derivative of a regularised soft window, numerically") {
  const bool norm = GENERATE(false, true);
  auto p = random_problem({.sizes = {4, 3, 4},
                           .steps = 3,
                           .batch = 3,
                           .layer_norm = norm,
                           .mode = BoundaryMode::Soft,
                           .slope = 0.7,
                           .seed = 143});
  p.regularise(0.3, 0.25);
  check_gradients([&] { return weighted_sum(p.op()); }, p.leaves(), 5e-7);
}

TEST_CASE("the operator equals the reference under dropout in float64: outputs, state and every gradient") {
  int cases = 0;
  double worst = 0;
  const int before = at::get_num_threads();
  for (auto kind : window_kinds()) {
    auto& o = kind.options;
    // Every kind of window with dropout, some of them with more steps and rows, distributed to threads.
    if (o.recurrent_dropout == 0 && o.locked_dropout == 0) {
      o.recurrent_dropout = cases % 3 == 0 ? 0 : 0.35;
      o.locked_dropout = cases % 3 == 1 ? 0 : 0.3;
    }
    if (cases % 5 == 4) o.steps = 14, o.batch = 25;
    at::set_num_threads(1 + cases % 3);
    const auto p = random_window(o);
    auto fast = by_operator(p, kind.some_gradients), dense = by_reference(p, kind.some_gradients);
    // By definition, a given segmentation is constant, and z0 then has no gradient.
    if (o.rate >= 0 && !o.boundary_gradient) {
      const auto z0 = 1 + 2 * o.sizes.size();
      REQUIRE(p.names()[z0] == "z0");
      fast.gradients[z0] = dense.gradients[z0] = torch::zeros_like(p.window.z0);
    }
    INFO(kind.name);
    const double e = difference(p, fast, dense);
    CHECK(e < 1e-10);
    worst = std::max(worst, e);
    ++cases;
  }
  at::set_num_threads(before);
  std::printf("hm_lstm under dropout: %d cases in float64, worst error %.1e\n", cases, worst);
}

TEST_CASE("dropout in float32 equals the reference, in bfloat16 it stays within the rounding") {
  for (const bool indexed : {false, true}) {
    RandomWindowOptions o;
    o.sizes = {33, 20, 17};
    o.steps = 10;
    o.batch = 4;
    o.indexed = indexed;
    o.rate = 0.4;
    o.seed = 300;
    o.dtype = torch::kFloat32;
    o.recurrent_dropout = 0.25, o.locked_dropout = 0.25;
    const auto p = random_window(o);
    const auto exact = by_reference(p, false);
    // sums of at most 132 terms through 10 steps in each direction, as in test_cuda_window.cpp; twice that for 1/(1-p)
    CHECK(difference(p, by_operator(p, false), exact) < 1.5e-4);
    const auto rounded = by_operator(p, false, torch::kBFloat16);
    const double unit = 1.0 / 256;
    for (size_t l = 0; l < 3; ++l) {
      const double e = distance(rounded.result.h[l].detach(), exact.result.h[l].detach());
      CHECK(e > 1e-5);
      CHECK(e < 20 * unit);
    }
    for (size_t i = 0; i < rounded.gradients.size(); ++i) {
      if (!exact.gradients[i].defined()) continue;
      INFO("gradient of " << p.names()[i]);
      const double scale = std::max(1.0, exact.gradients[i].abs().max().item<double>());
      CHECK(distance(rounded.gradients[i], exact.gradients[i]) < 60 * unit * scale);
    }
  }
}

TEST_CASE("a regularised window repeats bit for bit; another seed, another window") {
  RandomWindowOptions o;
  o.dtype = torch::kFloat32;
  o.steps = 20;
  o.recurrent_dropout = 0.3, o.locked_dropout = 0.3;
  auto p = random_window(o);
  const auto once = by_operator(p, false), again = by_operator(p, false);
  for (size_t i = 0; i < once.gradients.size(); ++i) {
    INFO(p.names()[i]);
    CHECK(same(once.gradients[i], again.gradients[i]));
  }
  torch::NoGradGuard no_grad;
  const auto run = [&] { return hm_lstm(p.layers, p.window, p.rule, std::nullopt, 1e-5, p.dropout).h[0]; };
  const auto first = run();
  // The same without a tape, whose rows are at other addresses: the last bit of a BLAS product may depend on that.
  CHECK(distance(first, once.result.h[0].detach()) < 1e-5);
  p.dropout.seed = seed_of(5);
  CHECK_FALSE(same(run(), first));
}

TEST_CASE("nothing is drawn at a COPY: the next state's mask does not depend on how long it was waited for") {
  // Two layers; the lower one fires at the given steps, so that the upper one UPDATEs there. Longer pauses between the
  // firings must not change the upper layer's states.
  auto p = random_problem({.sizes = {3, 40}, .steps = 9, .batch = 5, .layer_norm = false, .seed = 151});
  p.regularise(0.5, 0.5);
  p.dropout.locked_mask = torch::Tensor();
  torch::NoGradGuard no_grad;
  // The upper layer reads only its own state: W = 0.
  p.layers[1].bottom_up.zero_();
  const auto upper = [&](const std::vector<double>& fires) {
    p.rule.given = doubles(fires, {9, 1, 1}).expand({9, 5, 1}).contiguous();
    return p.op().h[1];
  };
  const auto a = upper({1, 0, 0, 0, 1, 0, 1, 0, 0}), b = upper({0, 1, 1, 0, 0, 0, 0, 0, 1});
  CHECK(same(a[0], b[1]));
  CHECK(same(a[4], b[2]));
  CHECK(same(a[6], b[8]));
  CHECK_FALSE(same(a[0], a[4]));
}

TEST_CASE("the operator's new arguments may be left out, and wrong ones are named") {
  const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::hm_lstm", "");
  const auto& arguments = op.schema().arguments();
  REQUIRE(arguments.size() == 22);
  for (size_t i = 0; i < arguments.size(); ++i) {
    INFO(arguments[i].name());
    CHECK(arguments[i].default_value().has_value() == (i >= 12));
  }
  const auto good = random_problem({.sizes = {3, 4}, .batch = 2});
  const auto refuses = [&](const WindowDropout& dropout, const std::string& why) {
    CHECK_THROWS_WITH(hm_lstm(good.layers, good.window, good.rule, std::nullopt, 1e-5, dropout),
                      ContainsSubstring(why));
  };
  refuses({1.0, seed_of(1), {}}, "recurrent_dropout must be");
  refuses({-0.1, seed_of(1), {}}, "recurrent_dropout must be");
  refuses({0.5, {}, {}}, "needs dropout_seed");
  refuses({0.5, torch::zeros({1}, torch::kInt64), {}}, "dropout_seed must be int64 of no dimension");
  refuses({0.5, torch::zeros({}), {}}, "dropout_seed must be int64 of no dimension");
  refuses({0, {}, torch::ones({2, 6}, torch::kFloat64)}, "locked_mask must have shape [2, 7]");
  refuses({0, {}, torch::ones({2, 7})}, "locked_mask must be Double");
}
