// Windows of the stack: the operator hm_lstm and the reference, each against the independent implementation in
// support/dense_window.h.
#include <torch/csrc/autograd/forward_grad.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/hm_lstm.h"
#include "support/dense_window.h"
#include "support/random_problem.h"
#include "support/random_window.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct Backend {
  std::string name;
  WindowResult (Problem::*run)() const;
};

Backend any_backend() { return GENERATE(Backend{"reference", &Problem::reference}, Backend{"op", &Problem::op}); }

std::vector<int64_t> any_sizes() {
  return GENERATE(std::vector<int64_t>{4}, std::vector<int64_t>{3, 5, 4}, std::vector<int64_t>{3, 4, 5, 3});
}

double worst(const WindowResult& a, const WindowResult& b) {
  double far = distance(a.z, b.z);
  for (size_t l = 0; l < a.h.size(); ++l) far = std::max({far, distance(a.h[l], b.h[l]), distance(a.c_n[l], b.c_n[l])});
  return far;
}

void check_same_gradients(const WindowResult& a, const WindowResult& b, const NamedTensors& leaves) {
  const auto ga = autograd_gradients(weighted_sum(a), leaves), gb = autograd_gradients(weighted_sum(b), leaves);
  size_t zeros = 0;
  for (size_t k = 0; k < leaves.size(); ++k) {
    INFO("gradient of " << leaves[k].first);
    zeros += ga[k].abs().max().item<double>() == 0 ? 1 : 0;
    CHECK(distance(ga[k], gb[k]) < 1e-9 * std::max(1.0, gb[k].abs().max().item<double>()));
  }
  CHECK(10 * zeros <= leaves.size());  // with hard boundaries, an operation may not occur in some layer of a deep stack
}

}  // namespace

TEST_CASE("a window and its straight-through gradients equal the dense statement") {
  const auto backend = any_backend();
  const auto sizes = any_sizes();
  if (backend.name == "reference" && sizes.size() != 3) return;
  const bool norm = GENERATE(false, true);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft);
  INFO(backend.name << ", " << sizes.size() << " layers, layer norm " << norm << ", " << to_string(mode));
  const auto p = random_problem(
      {.sizes = sizes, .steps = 7, .batch = 8, .layer_norm = norm, .mode = mode, .slope = 1.5, .seed = 31});
  const auto got = (p.*backend.run)(), expected = dense_window(p);
  CHECK(worst(got, expected) < 1e-10);
  check_same_gradients(got, expected, p.leaves());
  if (mode != BoundaryMode::Soft && sizes.size() > 1) {
    // All operations must occur in the problem, else the test proves little.
    const double rate = got.z.mean().item<double>();
    CHECK((rate > 0.1 && rate < 0.9));
    CHECK(torch::logical_or(got.z.eq(0), got.z.eq(1)).all().item<bool>());
  }
}

TEST_CASE("every derivative of a soft window, numerically") {
  const auto sizes = GENERATE(std::vector<int64_t>{3}, std::vector<int64_t>{4, 3}, std::vector<int64_t>{3, 4, 3});
  const bool norm = GENERATE(false, true);
  INFO(sizes.size() << " layers, layer norm " << norm);
  const auto p = random_problem({.sizes = sizes,
                                 .steps = 3,
                                 .batch = 2,
                                 .layer_norm = norm,
                                 .mode = BoundaryMode::Soft,
                                 .slope = 0.7,
                                 .seed = 41 + sizes.size()});
  check_gradients([&] { return weighted_sum(p.op()); }, p.leaves(), 5e-7);
}

TEST_CASE("two windows equal one long window: the reference bit for bit, so the operator, but for a BLAS's rounding") {
  const auto backend = any_backend();
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Soft, BoundaryMode::Bernoulli);
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  const int64_t batch = GENERATE(1, 4);
  INFO(backend.name << ", " << to_string(mode) << ", batch " << batch);
  const auto p = random_problem({.steps = 11, .batch = batch, .mode = mode, .seed = 51, .dtype = dtype});
  const auto whole = (p.*backend.run)();
  auto first = p, second = p;
  first.window.input = p.window.input.slice(0, 0, 4);
  second.window.input = p.window.input.slice(0, 4, 11);
  if (p.rule.noise.defined()) {
    first.rule.noise = p.rule.noise.slice(0, 0, 4);
    second.rule.noise = p.rule.noise.slice(0, 4, 11);
  }
  const auto a = (first.*backend.run)();
  second.window.c0 = a.c_n;
  // Copies, which are aligned like a state inside a window: the last bit of a BLAS product may depend on that.
  for (int64_t l = 0; l < 3; ++l) second.window.h0[l] = a.h[l][3].clone();
  second.window.z0 = a.z[3].clone();
  const auto b = (second.*backend.run)();
  // The operator's rows synchronise at a window's end, so that its products batch the rows differently. Our own
  // products do not depend on that; a BLAS may add in another order (a single row has the same bits). Layer norm over 3
  // to 5 units then magnifies the rounding. The same window in float64 shows by how much: another order changes the
  // result about as much as float32 rounding does.
  const bool rows = dtype == torch::kFloat32 && cpu::choose_backend<float>() == cpu::ProductBackend::Rows;
  double bound = 0;
  if (backend.name != "reference" && batch > 1 && !rows) {
    bound = 1e-14;
    if (dtype == torch::kFloat32) {
      const auto exact = (p.to(torch::kFloat64).*backend.run)();
      if (mode != BoundaryMode::Soft) REQUIRE(same(exact.z.to(dtype), whole.z));  // equal segments
      bound = 0;
      for (int64_t l = 0; l < 3; ++l) {
        bound = std::max({bound, 4 * distance(exact.h[l], whole.h[l].to(torch::kFloat64)),
                          4 * distance(exact.c_n[l], whole.c_n[l].to(torch::kFloat64))});
      }
      REQUIRE(bound < 1e-4);
    }
  }
  for (int64_t l = 0; l < 3; ++l) {
    CHECK(distance(torch::cat({a.h[l], b.h[l]}), whole.h[l]) <= bound);
    CHECK(distance(b.c_n[l], whole.c_n[l]) <= bound);
  }
  CHECK(same(torch::cat({a.z, b.z}), whole.z));
  if (mode != BoundaryMode::Step || dtype != torch::kFloat64) return;
  // Without a detach in between, the gradients also equal those of the long window.
  const auto loss_of = [](const torch::Tensor& h, const torch::Tensor& z) { return h.square().sum() + z.sum(); };
  const auto one = autograd_gradients(loss_of(whole.h[2], whole.z), p.leaves());
  const auto two = autograd_gradients(loss_of(torch::cat({a.h[2], b.h[2]}), torch::cat({a.z, b.z})), p.leaves());
  for (size_t k = 0; k < one.size(); ++k)
    CHECK(distance(one[k], two[k]) < 1e-11 * std::max(1.0, one[k].abs().max().item<double>()));
}

TEST_CASE("given boundaries, with and without the detector's gradient") {
  const auto backend = any_backend();
  const bool gradient = GENERATE(true, false);
  INFO(backend.name << ", boundary_gradient " << gradient);
  auto p = random_problem({.steps = 8, .slope = 0.5, .seed = 61});
  p.rule.given = p.uniform({8, 4, 2}).gt(0.6).to(torch::kFloat64);
  p.rule.boundary_gradient = gradient;
  const auto got = (p.*backend.run)();
  CHECK(same(got.z.detach(), p.rule.given));
  const auto h2 = got.h[2].square().sum() + got.h[0].sum();

  // The boundary rows (the last of U, W, b) of the lower layers have gradients only with `boundary_gradient`.
  const auto expected = dense_window(
      p, [&](int64_t t, int64_t l, const torch::Tensor&) { return p.rule.given[t].select(1, l); }, 0.5);
  const auto expected_h2 = expected.h[2].square().sum() + expected.h[0].sum();
  const auto leaves = p.leaves();
  const auto a = autograd_gradients(h2, leaves);
  const auto b = autograd_gradients(expected_h2, leaves);
  double difference = 0;
  for (size_t k = 0; k < leaves.size(); ++k) {
    INFO(leaves[k].first);
    if (gradient) {
      CHECK(distance(a[k], b[k]) < 1e-10);
    } else {
      difference = std::max(difference, distance(a[k], b[k]));
    }
    const auto& name = leaves[k].first;
    const bool has_boundary_row =
        name.rfind("layers.2", 0) != 0 && name.rfind("layers.", 0) == 0 && name.find("norm") == std::string::npos;
    if (has_boundary_row) CHECK((a[k][-1].abs().max().item<double>() > 0) == gradient);
  }
  if (!gradient) CHECK(difference > 1e-3);
}

TEST_CASE("without boundary_gradient a given segmentation is a constant") {
  const auto backend = any_backend();
  INFO(backend.name);
  auto p = random_problem({.sizes = {3, 4, 3}, .steps = 4, .batch = 2, .seed = 65});
  p.rule.given = p.uniform({4, 2, 2}).gt(0.4).to(torch::kFloat64);
  p.rule.boundary_gradient = false;
  // With constant z, c and h are smooth functions of everything else: numerical derivatives exist, without soft
  // boundaries.
  const auto loss = [&] {
    const auto r = (p.*backend.run)();
    return r.h[0].square().sum() + (r.h[1] * 0.7).sum() + r.h[2].square().sum() + r.c_n[1].sum();
  };
  NamedTensors leaves;
  for (const auto& leaf : p.leaves())
    if (leaf.first == "layers.0.recurrent_norm.weight" || leaf.first == "layers.1.bottom_up_norm.bias" ||
        leaf.first == "input" || leaf.first == "c0.0" || leaf.first == "h0.2")
      leaves.push_back(leaf);
  REQUIRE(leaves.size() == 5);
  check_gradients(loss, leaves);
}

TEST_CASE("steps past a sequence's end change nothing") {
  const auto backend = any_backend();
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Soft);
  INFO(backend.name << ", " << to_string(mode));
  auto p = random_problem({.steps = 7, .batch = 4, .mode = mode, .seed = 71});
  const std::vector<int64_t> length = {7, 3, 1, 5};
  p.window.lengths = torch::tensor(length, torch::kInt64);
  const auto padded = (p.*backend.run)();
  const auto leaves = p.leaves();

  // Each sequence alone; its part of the loss reads only its own steps.
  torch::Tensor sum_padded, sum_alone;
  const auto add = [](torch::Tensor& sum, const torch::Tensor& x) { sum = sum.defined() ? sum + x : x; };
  for (int64_t b = 0; b < 4; ++b) {
    const auto n = length[b];
    auto q = p;
    q.window.lengths = torch::Tensor();
    q.window.input = p.window.input.slice(0, 0, n).slice(1, b, b + 1);
    q.window.z0 = p.window.z0.slice(0, b, b + 1);
    for (int64_t l = 0; l < 3; ++l) {
      q.window.h0[l] = p.window.h0[l].slice(0, b, b + 1);
      q.window.c0[l] = p.window.c0[l].slice(0, b, b + 1);
    }
    const auto alone = (q.*backend.run)();
    for (int64_t l = 0; l < 3; ++l) {
      CHECK(distance(padded.h[l].slice(0, 0, n).select(1, b), alone.h[l].select(1, 0)) < 1e-12);
      CHECK(distance(padded.c_n[l][b], alone.c_n[l][0]) < 1e-12);
      for (int64_t t = n; t < 7; ++t) {
        CHECK(same(padded.h[l][t][b], padded.h[l][n - 1][b]));
        CHECK(same(padded.state_index[l][t][b], padded.state_index[l][n - 1][b]));
      }
      add(sum_padded, padded.h[l].slice(0, 0, n).select(1, b).square().sum() + padded.c_n[l][b].sum());
      add(sum_alone, alone.h[l].square().sum() + alone.c_n[l].sum());
      // the carried state is that at the end of the sequence
      add(sum_padded, padded.h[l][6][b].sum());
      add(sum_alone, alone.h[l][n - 1].sum());
    }
    CHECK(distance(padded.z.slice(0, 0, n).select(1, b), alone.z.select(1, 0)) < 1e-12);
    for (int64_t t = n; t < 7; ++t) CHECK(same(padded.z[t][b], padded.z[n - 1][b]));
    CHECK(same(padded.state_index.slice(1, 0, n).select(2, b), alone.state_index.select(2, 0)));
  }
  const auto a = autograd_gradients(sum_padded, leaves), b = autograd_gradients(sum_alone, leaves);
  for (size_t k = 0; k < leaves.size(); ++k) {
    INFO(leaves[k].first);
    CHECK(distance(a[k], b[k]) < 1e-10);
    if (leaves[k].first != "input") continue;
    for (int64_t row = 0; row < 4; ++row) {
      if (length[row] < 7) CHECK(a[k].slice(0, length[row]).select(1, row).abs().max().item<double>() == 0);
      CHECK(a[k].slice(0, 0, length[row]).select(1, row).abs().max().item<double>() > 0);
    }
  }
}

TEST_CASE("state_index changes exactly where the operation is not COPY, and equal numbers show equal h") {
  const auto backend = any_backend();
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  INFO(backend.name << ", " << to_string(mode));
  const auto p = random_problem({.steps = 20, .batch = 6, .mode = mode, .seed = 81});
  const auto r = (p.*backend.run)();
  REQUIRE(r.state_index.sizes() == torch::IntArrayRef({3, 20, 6}));
  REQUIRE(r.state_index.scalar_type() == torch::kInt32);
  CHECK_FALSE(r.state_index.requires_grad());
  const auto index = r.state_index.accessor<int32_t, 3>();
  const auto z = r.z.detach(), z0 = p.window.z0.detach();
  int copies = 0;
  for (int64_t l = 0; l < 3; ++l) {
    for (int64_t b = 0; b < 6; ++b) {
      for (int64_t t = 0; t < 20; ++t) {
        const bool bottom_up = l == 0 || z[t][b][l - 1].item<double>() == 1;
        const bool fired = l < 2 && (t == 0 ? z0[b][l] : z[t - 1][b][l]).item<double>() == 1;
        const int before = t == 0 ? 0 : index[l][t - 1][b];
        const bool copy = !bottom_up && !fired;
        REQUIRE(index[l][t][b] == before + (copy ? 0 : 1));
        if (!copy) continue;
        ++copies;
        REQUIRE(same(r.h[l][t][b], t == 0 ? p.window.h0[l][b] : r.h[l][t - 1][b]));
      }
    }
  }
  CHECK(copies >= 5);
}

TEST_CASE("an input that is rows of a table gives what the gathered sequence gives") {
  auto p = random_problem({.steps = 6, .batch = 3, .seed = 91});
  const auto table = p.normal({5, 2}).requires_grad_();
  auto indexed = p;
  indexed.window.index =
      torch::tensor({{0, 4, 2}, {1, 1, 1}, {4, 0, 0}, {2, 2, 4}, {1, 0, 4}, {0, 1, 2}}, torch::kInt64);
  indexed.window.input = table;  // row 3 of the table is not used
  auto gathered = p;
  gathered.window.input = table.index({indexed.window.index});
  const auto a = indexed.op(), b = gathered.op();
  CHECK(worst(a, b) < 1e-12);
  const NamedTensors leaves = {{"table", table}, {"bottom_up", p.layers[0].bottom_up}};
  const auto ga = autograd_gradients(weighted_sum(a), leaves), gb = autograd_gradients(weighted_sum(b), leaves);
  for (size_t k = 0; k < 2; ++k) CHECK(distance(ga[k], gb[k]) < 1e-11);
  CHECK(ga[0][3].abs().max().item<double>() == 0);
  CHECK(ga[0][0].abs().max().item<double>() > 0);
}

TEST_CASE("hm_lstm: a row does not depend on the rows beside it, which reach each step at other times") {
  RandomWindowOptions o;
  o.steps = 23, o.batch = 7, o.lengths = true, o.slope = 0.7;
  const auto p = random_window(o);
  const auto h_and_gradient = [&](const RandomWindow& q) {
    auto h = hm_lstm(q.layers, q.window, q.rule).h;
    const auto loss = h[0].square().sum() + h[1].sum() + h[2].square().sum();
    h.push_back(torch::autograd::grad({loss}, {q.window.input})[0]);
    return h;
  };
  const auto together = h_and_gradient(p);
  for (int64_t b = 0; b < o.batch; ++b) {
    auto alone = p;
    auto& w = alone.window;
    w.input = p.window.input.detach().narrow(1, b, 1).contiguous().requires_grad_();
    for (auto* list : {&w.h0, &w.c0}) {
      for (auto& x : *list) x = x.narrow(0, b, 1);
    }
    w.z0 = w.z0.narrow(0, b, 1);
    w.lengths = w.lengths.narrow(0, b, 1);
    const auto single = h_and_gradient(alone);
    for (size_t i = 0; i < single.size(); ++i) CHECK(distance(single[i], together[i].narrow(1, b, 1)) < 1e-12);
  }
}

TEST_CASE("hm_lstm refuses boundaries and z0 that are neither 0 nor 1, unless they are soft") {
  for (const double bad : {0.5, 2.0, -1.0, std::nan("")}) {
    auto p = random_problem({.sizes = {4, 3}});
    p.window.z0 = p.window.z0.detach().clone();
    p.window.z0[1][0] = bad;
    CHECK_THROWS_WITH(p.op(), ContainsSubstring("z0 must be 0 or 1"));
    auto given = random_problem({.sizes = {4, 3}});
    given.rule.given = torch::ones({6, 4, 1}, given.like);
    CHECK_NOTHROW(given.op());
    given.rule.given[5][3][0] = bad;
    CHECK_THROWS_WITH(given.op(), ContainsSubstring("boundaries must be 0 or 1"));
  }
  const auto soft = random_problem({.mode = BoundaryMode::Soft});
  CHECK_NOTHROW(soft.op());
}

TEST_CASE("hm_lstm refuses an input without features and a layer without units") {
  auto p = random_problem({.sizes = {4, 3}});
  p.window.input = p.window.input.narrow(-1, 0, 0);
  p.layers[0].bottom_up = p.layers[0].bottom_up.narrow(1, 0, 0);
  CHECK_THROWS_WITH(p.op(), ContainsSubstring("needs at least one feature"));
  auto q = random_problem({.sizes = {4, 3}, .layer_norm = false});
  q.layers[0].top_down = q.layers[0].top_down.narrow(1, 0, 0);
  auto& top = q.layers[1];
  top.recurrent = torch::empty({0, 0}, q.like), top.bias = torch::empty({0}, q.like);
  top.bottom_up = torch::empty({0, 4}, q.like);
  q.window.h0[1] = q.window.c0[1] = q.window.h0[1].narrow(1, 0, 0);
  CHECK_THROWS_WITH(q.op(), ContainsSubstring("layer 1 needs at least one unit"));
}

TEST_CASE("hm_lstm refuses a forward-mode derivative, which it would lose") {
  auto p = random_problem({.sizes = {4, 3}});
  const auto level = torch::autograd::ForwardADLevel::get_next_idx();
  const bool recorded = GENERATE(true, false);  // with and without a graph for backward
  const torch::AutoGradMode mode(recorded);
  p.window.input = p.window.input.detach();
  p.window.input._set_fw_grad(torch::ones_like(p.window.input), level, /*is_inplace_op=*/false);
  CHECK_THROWS_WITH(p.op(), ContainsSubstring("forward-mode derivatives"));
  torch::autograd::ForwardADLevel::release_idx(level);
}

TEST_CASE("backward of hm_lstm sees what was changed in place or replaced since forward") {
  SECTION("state_index") {
    auto p = random_problem({.sizes = {4, 3}});
    const auto out = p.op();
    out.state_index.zero_();
    CHECK_THROWS_WITH(out.h[0].sum().backward(), ContainsSubstring("modified by an inplace operation"));
  }
  SECTION("a parameter of another shape") {
    auto p = random_problem({.sizes = {4, 3}});
    const auto out = p.op();
    p.layers[0].recurrent.set_data(torch::zeros({2, 2}, p.like));
    CHECK_THROWS_WITH(out.h[0].sum().backward(), ContainsSubstring("must have shape"));
  }
}

TEST_CASE("hm_lstm refuses a window with more states than int32 can number") {
  auto p = random_problem({.sizes = {4, 3}, .steps = 1, .batch = 1});
  const auto meta = [](const torch::Tensor& x) { return x.defined() ? x.detach().to(torch::kMeta) : x; };
  for (auto& y : p.layers) {
    for (auto* x : {&y.recurrent, &y.bottom_up, &y.top_down, &y.bias}) *x = meta(*x);
    for (auto* n : {&y.recurrent_norm, &y.bottom_up_norm, &y.top_down_norm, &y.cell_norm}) {
      n->weight = meta(n->weight), n->bias = meta(n->bias);
    }
  }
  p.rule.slope = meta(p.rule.slope);
  const auto run = [&](int64_t steps, int64_t batch) {
    const auto like = p.like.device(torch::kMeta);
    p.window.input = torch::empty({steps, batch, 2}, like);
    p.window.z0 = torch::empty({batch, 1}, like);
    p.window.h0 = {torch::empty({batch, 4}, like), torch::empty({batch, 3}, like)};
    p.window.c0 = p.window.h0;
    return p.op();
  };
  CHECK(run(1, 1 << 29).h[0].sizes() == torch::IntArrayRef({1, 1 << 29, 4}));
  CHECK_THROWS_WITH(run(1, 1 << 30), ContainsSubstring("(T + 1) · B must be below 2^31"));
  CHECK_THROWS_WITH(run((1LL << 31) - 1, 1), ContainsSubstring("(T + 1) · B must be below 2^31"));
}
