#include <torch/autograd.h>

#include <random>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/ops/hm_lstm.h"
#include "support/window_comparison.h"

namespace {

using hmrnn::BoundaryMode;
using hmrnn::BoundaryRule;
using hmrnn::LayerParameters;
using hmrnn::WindowInput;
using hmrnn::WindowResult;
using hmrnn::test::outputs;

struct Case {
  int64_t layers;
  bool layer_norm;
  BoundaryMode mode;
  double rate;             // < 0: the detector decides; else the rate of drawn boundaries
  bool boundary_gradient;  // for drawn boundaries
  bool indexed;
  bool lengths;
  double slope;
  double boundary_bias;
};

struct OperatorProblem {
  std::vector<LayerParameters> layers;
  WindowInput window;
  BoundaryRule rule;
  std::vector<torch::Tensor> leaves;  // all differentiable tensors
};

OperatorProblem make_problem(const Case& c, torch::ScalarType dtype, int64_t T = 13, int64_t B = 5) {
  const std::vector<int64_t> all_sizes{9, 7, 18, 6};
  const std::vector<int64_t> sizes(all_sizes.begin(), all_sizes.begin() + c.layers);
  const int64_t e = 5, V = 11;
  const auto f64 = torch::dtype(torch::kFloat64);
  OperatorProblem p;
  const auto leaf = [&](torch::Tensor x) {
    p.leaves.push_back(x.to(dtype).requires_grad_());
    return p.leaves.back();
  };
  for (int64_t l = 0; l < c.layers; ++l) {
    const bool top = l + 1 == c.layers;
    const auto d = sizes[l], R = top ? 4 * d : 4 * d + 1, below = l ? sizes[l - 1] : e;
    LayerParameters y;
    y.recurrent = leaf(torch::randn({R, d}, f64) / std::sqrt(d));
    y.bottom_up = leaf(torch::randn({R, below}, f64) / std::sqrt(d));
    if (!top) y.top_down = leaf(torch::randn({R, sizes[l + 1]}, f64) / std::sqrt(d));
    auto bias = 0.3 * torch::randn({R}, f64);
    if (!top) bias[4 * d] = c.boundary_bias;
    y.bias = leaf(bias);
    if (c.layer_norm) {
      const auto norm = [&](int64_t n) {
        hmrnn::NormParameters out;
        out.weight = leaf(0.5 + 0.1 * torch::randn({n}, f64));
        out.bias = leaf(0.3 * torch::randn({n}, f64));
        return out;
      };
      y.recurrent_norm = norm(4 * d);
      y.bottom_up_norm = norm(4 * d);
      if (!top) y.top_down_norm = norm(4 * d);
      y.cell_norm = norm(d);
    }
    p.layers.push_back(y);
    p.window.h0.push_back(leaf(torch::tanh(torch::randn({B, d}, f64))));
    p.window.c0.push_back(leaf(torch::randn({B, d}, f64)));
  }
  p.window.z0 = leaf(torch::rand({B, c.layers - 1}, f64).round());
  if (c.indexed) {
    p.window.input = leaf(torch::randn({V, e}, f64));
    p.window.index = torch::randint(0, V, {T, B}, torch::kInt64);
  } else {
    p.window.input = leaf(torch::randn({T, B, e}, f64));
  }
  if (c.lengths) {
    p.window.lengths = torch::tensor({T, T - 4, int64_t{1}, T - 1, int64_t{6}}, torch::kInt64).repeat({(B + 4) / 5});
    p.window.lengths = p.window.lengths.narrow(0, 0, B);
  }
  p.rule.mode = c.mode;
  p.rule.slope = torch::tensor(c.slope, dtype);
  p.rule.boundary_gradient = c.boundary_gradient;
  if (c.rate >= 0) p.rule.given = torch::rand({T, B, c.layers - 1}, f64).lt(c.rate).to(dtype);
  if (c.mode == BoundaryMode::Bernoulli) p.rule.noise = torch::rand({T, B, c.layers - 1}, f64).to(dtype);
  return p;
}

WindowResult by_reference(const OperatorProblem& p) {
  const auto input = p.window.index.defined() ? torch::embedding(p.window.input, p.window.index) : p.window.input;
  return hmrnn::reference_window(p.layers, input, p.window.h0, p.window.c0, p.window.z0, p.rule, p.window.lengths);
}

double error(const torch::Tensor& a, const torch::Tensor& b) {
  if (!a.defined() || !b.defined() || a.numel() == 0) return 0;
  return (a - b).abs().max().item<double>();
}

/// Largest difference of outputs and gradients from the reference, relative to the largest value of each tensor.
double compare(const OperatorProblem& p) {
  const auto fast = hmrnn::hm_lstm(p.layers, p.window, p.rule);
  const auto dense = by_reference(p);
  const auto a = outputs(fast), b = outputs(dense);
  double worst = 0;
  const auto update = [&](const char* what, size_t i, const torch::Tensor& x, const torch::Tensor& y) {
    const double scale = y.defined() && y.numel() ? std::max(1.0, y.abs().max().item<double>()) : 1.0;
    const double e = error(x, y) / scale;
    INFO(what << " " << i << " " << (y.defined() ? y.sizes() : torch::IntArrayRef()) << " error " << e);
    if (!(e <= 1e-3)) CHECK(e <= 1e-3);
    worst = std::max(worst, std::isnan(e) ? 1e9 : e);
  };
  for (size_t i = 0; i < a.size(); ++i) {
    REQUIRE(a[i].sizes() == b[i].sizes());
    update("output", i, a[i].detach(), b[i].detach());
  }
  CHECK(torch::equal(fast.state_index, dense.state_index));

  torch::manual_seed(99);
  torch::Tensor fast_loss = torch::zeros({}, a[0].options()), dense_loss = fast_loss.clone();
  for (size_t i = 0; i < a.size(); ++i) {
    const auto cotangent = torch::randn_like(a[i]);
    fast_loss = fast_loss + (a[i] * cotangent).sum();
    dense_loss = dense_loss + (b[i] * cotangent).sum();
  }
  // By definition, a given segmentation is constant, and z0 then has no gradient.
  const bool constant = p.rule.given.defined() && !p.rule.boundary_gradient;
  const auto g = torch::autograd::grad({fast_loss}, p.leaves, {}, true, false, true);
  const auto want = torch::autograd::grad({dense_loss}, p.leaves, {}, true, false, true);
  for (size_t i = 0; i < g.size(); ++i) {
    if (constant && p.leaves[i].is_same(p.window.z0)) continue;
    const auto zero = torch::zeros_like(p.leaves[i]);
    update("gradient", i, g[i].defined() ? g[i] : zero, want[i].defined() ? want[i] : zero);
  }
  return worst;
}

}  // namespace

TEST_CASE("hm_lstm equals the unrolled reference in float64: outputs, state and every gradient") {
  int cases = 0;
  double worst = 0;
  for (int64_t layers = 1; layers <= 4; ++layers) {
    for (const bool layer_norm : {false, true}) {
      for (int kind = 0; kind < 14; ++kind) {
        Case c{layers, layer_norm,    BoundaryMode::Step, -1,
               true,   kind % 2 == 0, kind % 3 == 2,      kind % 3 == 0 ? 1.0 : kind % 3 == 1 ? 1.7 : 0.4,
               0};
        if (kind < 4) c.boundary_bias = std::array<double, 4>{-5, -0.4, 0.3, 5}[kind];
        if (kind == 4 || kind == 5) c.mode = BoundaryMode::Bernoulli;
        if (kind >= 6 && kind < 10) c.rate = std::array<double, 4>{0, 0.1, 0.5, 1}[kind - 6];
        if (kind >= 10) c.rate = std::array<double, 4>{0, 0.1, 0.5, 1}[kind - 10], c.boundary_gradient = false;
        torch::manual_seed(100 * layers + kind + layer_norm);
        INFO("layers " << layers << " layer_norm " << layer_norm << " kind " << kind);
        const double e = compare(make_problem(c, torch::kFloat64));
        CHECK(e < 1e-10);
        worst = std::max(worst, e);
        ++cases;
      }
    }
  }
  std::printf("hm_lstm: %d cases in float64, worst error %.1e\n", cases, worst);
}

TEST_CASE("hm_lstm equals the reference where threads share rows and products") {
  const int before = at::get_num_threads();
  for (const int threads : {2, 3}) {  // 25 rows: 12 and 13, or 8, 8 and 9
    at::set_num_threads(threads);
    for (int kind = 0; kind < 6; ++kind) {
      Case c{3, kind % 2 == 0, BoundaryMode::Step, -1, true, kind % 3 == 0, kind % 3 == 1, 1.3, 0.1};
      if (kind >= 2) c.rate = std::array<double, 4>{0.2, 1, 0, 0.5}[kind - 2];
      if (kind == 1) c.mode = BoundaryMode::Bernoulli;
      if (kind == 5) c.boundary_gradient = false;
      torch::manual_seed(40 + kind);
      INFO("threads " << threads << " kind " << kind);
      CHECK(compare(make_problem(c, torch::kFloat64, 13, 25)) < 1e-10);
    }
  }
  at::set_num_threads(before);
}

TEST_CASE("hm_lstm: backward does not depend on the number of threads it finds") {
  const int before = at::get_num_threads();
  torch::manual_seed(31);
  const auto p = make_problem({3, true, BoundaryMode::Step, 0.4, true, true, false, 1.0, 0}, torch::kFloat64, 13, 25);
  const auto gradient = [&](int forward_threads, int backward_threads) {
    at::set_num_threads(forward_threads);
    const auto loss = hmrnn::hm_lstm(p.layers, p.window, p.rule).h[0].square().sum();
    at::set_num_threads(backward_threads);
    return torch::autograd::grad({loss}, {p.layers[0].recurrent})[0];
  };
  const auto want = gradient(1, 1);
  CHECK(error(gradient(3, 1), want) < 1e-10);
  CHECK(error(gradient(1, 3), want) < 1e-10);
  at::set_num_threads(before);
}

TEST_CASE("hm_lstm in float32 equals the reference under drawn boundaries") {
  for (const bool layer_norm : {false, true}) {
    for (const double rate : {0.0, 0.21, 1.0}) {
      torch::manual_seed(7);
      const Case c{3, layer_norm, BoundaryMode::Step, rate, true, true, false, 1.0, 0};
      CHECK(compare(make_problem(c, torch::kFloat32)) < 1e-4);
    }
  }
}

TEST_CASE("hm_lstm with soft boundaries equals the reference") {
  torch::manual_seed(3);
  for (const bool layer_norm : {false, true}) {
    const Case c{3, layer_norm, BoundaryMode::Soft, -1, true, false, true, 1.3, 0};
    CHECK(compare(make_problem(c, torch::kFloat64)) < 1e-10);
  }
}

TEST_CASE("hm_lstm without gradients gives the same outputs") {
  for (const bool indexed : {false, true}) {
    torch::manual_seed(5);
    const auto p = make_problem({3, true, BoundaryMode::Step, -1, true, indexed, false, 1.0, 0.1}, torch::kFloat64);
    const auto with = outputs(hmrnn::hm_lstm(p.layers, p.window, p.rule));
    torch::NoGradGuard no_grad;
    const auto without = outputs(hmrnn::hm_lstm(p.layers, p.window, p.rule));
    for (size_t i = 0; i < with.size(); ++i) CHECK(torch::equal(with[i], without[i]));
    CHECK_FALSE(without[0].requires_grad());
  }
}

TEST_CASE("hm_lstm: gradients of some of the outputs with respect to some of the inputs") {
  torch::manual_seed(11);
  const auto p = make_problem({3, true, BoundaryMode::Step, 0.4, true, false, false, 1.0, 0}, torch::kFloat64);
  const auto fast = hmrnn::hm_lstm(p.layers, p.window, p.rule);
  const auto dense = by_reference(p);
  const auto wanted = std::vector<torch::Tensor>{p.layers[1].recurrent, p.window.input};
  for (size_t i = 0; i < outputs(fast).size(); ++i) {
    const auto x = outputs(fast)[i], y = outputs(dense)[i];
    const auto cotangent = torch::randn_like(x);
    const auto a = torch::autograd::grad({(x * cotangent).sum()}, wanted, {}, true, false, true);
    const auto b = torch::autograd::grad({(y * cotangent).sum()}, wanted, {}, true, false, true);
    for (size_t k = 0; k < a.size(); ++k) {
      const auto zero = torch::zeros_like(wanted[k]);
      CHECK(error(a[k].defined() ? a[k] : zero, b[k].defined() ? b[k] : zero) < 1e-10);
    }
  }
}

TEST_CASE("hm_lstm repeats bit for bit, and across thread counts to rounding") {
  const int threads = at::get_num_threads();
  const auto run = [&](int n) {
    at::set_num_threads(n);
    torch::manual_seed(17);
    const hmrnn::HMLSTM model(hmrnn::HMLSTMOptions(16, {160, 96, 64}));
    const auto input = torch::randn({20, 32, 16});
    hmrnn::HMLSTMCall call;
    call.boundaries = torch::rand({20, 32, 2}).lt(0.3).to(torch::kFloat32);
    call.boundary_gradient = true;
    const auto out = model.ptr()->forward(input, std::nullopt, call);
    auto loss = out.h[0].square().sum() + out.h[1].sum() + out.h[2].sum();
    auto g = torch::autograd::grad({loss}, model->parameters(), {}, false, false, true);
    g.insert(g.begin(), out.h[2].detach());
    return g;
  };
  const auto once = run(2), again = run(2), single = run(1);
  at::set_num_threads(threads);
  for (size_t i = 0; i < once.size(); ++i) {
    CHECK(torch::equal(once[i], again[i]));
    const double scale = std::max(1.0, once[i].abs().max().item<double>());
    // float32 sums over 640 row-steps, through 20 steps of layer norm
    CHECK(error(once[i], single[i]) / scale < 1e-3);
  }
}

TEST_CASE("hm_lstm: a second derivative is a clear error") {
  torch::manual_seed(19);
  const auto p = make_problem({2, true, BoundaryMode::Step, 0.4, true, false, false, 1.0, 0}, torch::kFloat64);
  const auto loss = hmrnn::hm_lstm(p.layers, p.window, p.rule).h[0].square().sum();
  const auto g = torch::autograd::grad({loss}, {p.window.input}, {}, true, true);
  REQUIRE_THROWS_WITH(torch::autograd::grad({g[0].sum()}, {p.window.input}),
                      ContainsSubstring("double backward is not supported"));
}

TEST_CASE("hm_lstm names a wrong argument") {
  torch::manual_seed(23);
  const auto good = make_problem({2, true, BoundaryMode::Step, 0.4, true, false, false, 1.0, 0}, torch::kFloat64);
  const auto message = [&](auto change) {
    auto p = good;
    change(p);
    try {
      hmrnn::hm_lstm(p.layers, p.window, p.rule);
    } catch (const c10::Error& e) {
      return std::string(e.what_without_backtrace());
    }
    return std::string("no error");
  };
  CHECK_THAT(message([](OperatorProblem& p) {
               p.window.h0[1] = torch::zeros({5, 3}, torch::kFloat64);
             }),
             ContainsSubstring("h0[1] must have shape [5, 7]"));
  CHECK_THAT(message([](OperatorProblem& p) {
               p.window.z0 = torch::zeros({5, 2}, torch::kFloat64);
             }),
             ContainsSubstring("z0 must have shape [5, 1]"));
  CHECK_THAT(message([](OperatorProblem& p) { p.layers[0].bias = torch::zeros({37}); }),
             ContainsSubstring("bias[0] must be Double"));
  CHECK_THAT(message([](OperatorProblem& p) { p.rule.given = torch::zeros({3}, torch::kFloat64); }),
             ContainsSubstring("boundaries must have shape [13, 5, 1]"));
  CHECK_THAT(message([](OperatorProblem& p) {
               p.window.index = torch::full({13, 5}, 99, torch::kInt64);
               p.window.input = torch::zeros({11, 5}, torch::kFloat64);
             }),
             ContainsSubstring("index must lie in [0, 11)"));
  CHECK_THAT(message([](OperatorProblem& p) { p.window.lengths = torch::zeros({4}, torch::kInt64); }),
             ContainsSubstring("lengths must be int64 [5]"));
}

TEST_CASE("hm_lstm has shapes on the meta device") {
  torch::manual_seed(29);
  auto p = make_problem({3, true, BoundaryMode::Step, -1, true, false, false, 1.0, 0}, torch::kFloat32);
  const auto meta = [](torch::Tensor& x) {
    if (x.defined()) x = x.detach().to(torch::kMeta);
  };
  for (auto& y : p.layers) {
    for (auto* x : {&y.recurrent, &y.bottom_up, &y.top_down, &y.bias, &y.recurrent_norm.weight, &y.recurrent_norm.bias,
                    &y.bottom_up_norm.weight, &y.bottom_up_norm.bias, &y.top_down_norm.weight, &y.top_down_norm.bias,
                    &y.cell_norm.weight, &y.cell_norm.bias})
      meta(*x);
  }
  for (auto& x : p.window.h0) meta(x);
  for (auto& x : p.window.c0) meta(x);
  meta(p.window.z0);
  meta(p.window.input);
  meta(p.rule.slope);
  const auto r = hmrnn::hm_lstm(p.layers, p.window, p.rule);
  CHECK(r.h[2].sizes() == torch::IntArrayRef({13, 5, 18}));
  CHECK(r.z.sizes() == torch::IntArrayRef({13, 5, 2}));
  CHECK(r.state_index.scalar_type() == torch::kInt32);
}
