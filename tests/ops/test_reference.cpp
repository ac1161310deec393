#include <torch/types.h>

#include <cmath>
#include <string>
#include <tuple>

#include "catch.h"
#include "hmrnn/ops/reference.h"
#include "support/random_problem.h"
#include "support/scalar_cell.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

torch::Tensor scalar(double x) { return torch::tensor(x, torch::kFloat64); }

/// One unit, one input, one unit above, no layer norm. Rows f, i, o, g, z.
LayerParameters one_unit(bool top) {
  LayerParameters layer;
  const int64_t rows = top ? 4 : 5;
  layer.recurrent = doubles({0.5, -0.3, 0.8, 0.2, 0.4}, {5, 1}).slice(0, 0, rows);
  layer.bottom_up = doubles({-0.6, 0.7, 0.1, 0.9, 0.3}, {5, 1}).slice(0, 0, rows);
  if (!top) layer.top_down = doubles({0.2, 0.4, -0.5, 0.6, -0.7}, {5, 1});
  layer.bias = doubles({0.1, -0.2, 0.3, -0.4, 0.05}, {5}).slice(0, 0, rows);
  return layer;
}

struct Hand {
  double z, z_below;
  double c, h;         // expected
  double probability;  // hardσ(s_z), expected
};

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> step_one_unit(const LayerParameters& layer, double z,
                                                                      double z_below, BoundaryMode mode) {
  BoundaryRule rule;
  rule.mode = mode;
  rule.slope = scalar(1);
  const bool top = layer.is_top();
  return reference_step(layer, doubles({1.5}, {1, 1}), doubles({z_below}, {1}), doubles({0.3}, {1, 1}),
                        doubles({0.7}, {1, 1}), top ? torch::Tensor() : doubles({z}, {1}),
                        top ? torch::Tensor() : doubles({-0.4}, {1, 1}), rule);
}

}  // namespace

TEST_CASE("one unit of an inner layer against numbers worked out by hand") {
  // h = 0.3, c = 0.7, below = 1.5, above = -0.4. The sums s of the rows f, i, o, g, z:
  //   UPDATE           (-0.65,  0.76, 0.69,  1.01, 0.62)   for example f: 0.5·0.3 − 0.6·1.5 + 0.1
  //   COPY             ( 0.25, -0.29, 0.54, -0.34, 0.17)
  //   FLUSH, z_below 0 ( 0.17, -0.45, 0.74, -0.58, 0.45)   f: 0.5·0.3 + 0.2·(−0.4) + 0.1
  //   FLUSH, z_below 1 (-0.73,  0.60, 0.89,  0.77, 0.90)
  // UPDATE: f = 0.34298954, i = 0.68135373, o = 0.66596693, g = 0.76576202, c = 0.7 f + i g.
  const auto hand = GENERATE(Hand{0, 1, 0.7618474864559446, 0.4276599054379815, 0.81},     // UPDATE
                             Hand{0, 0, 0.7, 0.3, 0.585},                                  // COPY
                             Hand{1, 0, -0.2035054120907303, -0.1359013863402584, 0.725},  // FLUSH
                             Hand{1, 1, 0.4176940793609149, 0.2800017232024480, 0.95});    // FLUSH
  INFO("z " << hand.z << ", z_below " << hand.z_below);
  const auto [h, c, z] = step_one_unit(one_unit(false), hand.z, hand.z_below, BoundaryMode::Soft);
  CHECK(c.item<double>() == Approx(hand.c).margin(1e-14));
  CHECK(h.item<double>() == Approx(hand.h).margin(1e-14));
  CHECK(z.item<double>() == Approx(hand.probability).margin(1e-14));
  CHECK(std::get<2>(step_one_unit(one_unit(false), hand.z, hand.z_below, BoundaryMode::Step)).item<double>() == 1);
}

TEST_CASE("one unit of the top layer updates or copies, and has no boundary") {
  // The numbers of the inner layer: UPDATE and COPY do not depend on the layer above.
  const auto [h, c, z] = step_one_unit(one_unit(true), 0, 1, BoundaryMode::Step);
  CHECK(c.item<double>() == Approx(0.7618474864559446).margin(1e-14));
  CHECK(h.item<double>() == Approx(0.4276599054379815).margin(1e-14));
  CHECK_FALSE(z.defined());
  const auto [h_copy, c_copy, z_copy] = step_one_unit(one_unit(true), 0, 0, BoundaryMode::Step);
  CHECK(h_copy.item<double>() == 0.3);
  CHECK(c_copy.item<double>() == 0.7);
}

TEST_CASE("a step of several units follows the table of operations") {
  const bool norm = GENERATE(false, true);
  const size_t l = GENERATE(size_t{0}, size_t{1}, size_t{2});
  const double slope = GENERATE(1.0, 2.5);
  auto p = random_problem({.sizes = {3, 2, 4}, .input_size = 5, .batch = 4, .layer_norm = norm, .seed = 11 + l});
  const auto& layer = p.layers[l];
  const bool top = l == 2;
  // Batch rows: UPDATE, COPY, FLUSH without and with input.
  const auto z_below = doubles({1, 0, 0, 1}, {4});
  const auto z = doubles({0, 0, 1, 1}, {4});
  const auto below = p.normal({4, layer.bottom_up.size(1)});
  const auto h = p.window.h0[l].detach(), c = p.window.c0[l].detach();
  const auto above = top ? torch::Tensor() : p.window.h0[l + 1].detach();
  BoundaryRule rule;
  rule.slope = scalar(slope);
  rule.mode = BoundaryMode::Soft;
  const auto [h_new, c_new, p_new] = reference_step(layer, below, z_below, h, c, z, above, rule);
  rule.mode = BoundaryMode::Step;
  const auto z_new = std::get<2>(reference_step(layer, below, z_below, h, c, z, above, rule));
  for (int64_t b = 0; b < 4; ++b) {
    INFO("layer " << l << ", layer norm " << norm << ", row " << b << ", slope " << slope);
    const auto expected = scalar_step(layer, values(below[b]), b == 0 || b == 3, values(h[b]), values(c[b]), b >= 2,
                                      top ? Vector{} : values(above[b]), slope);
    CHECK(distance(h_new[b], doubles(expected.h, h[b].sizes())) < 1e-12);
    CHECK(distance(c_new[b], doubles(expected.c, c[b].sizes())) < 1e-12);
    if (top) {
      CHECK_FALSE(p_new.defined());
      continue;
    }
    CHECK(p_new[b].item<double>() == Approx(expected.probability).margin(1e-12));
    CHECK(z_new[b].item<double>() == (expected.probability > 0.5 ? 1 : 0));
  }
  // COPY is exact.
  CHECK(same(c_new[1], c[1]));
  CHECK(same(h_new[1], h[1]));
}

TEST_CASE("z has its gradient through the choice of operation") {
  // W and V are 0, so z affects c and h only through the table of operations; torch::where would give the gradient 0.
  //   c = zp i g + (1-zp)(1-zb) c' + (1-zp) zb (f c' + i g),  h = k h' + (1-k) o tanh(c),  k = (1-zp)(1-zb)
  auto layer = one_unit(false);
  layer.bottom_up = torch::zeros({5, 1}, torch::kFloat64);
  layer.top_down = torch::zeros({5, 1}, torch::kFloat64);
  const double h0 = 0.3, c0 = 0.7;
  const double f = sigmoid(0.25), i = sigmoid(-0.29), o = sigmoid(0.54), g = std::tanh(-0.34);
  BoundaryRule rule;
  rule.slope = scalar(1);
  for (const double zp : {0.0, 1.0}) {
    for (const double zb : {0.0, 1.0}) {
      INFO("z " << zp << ", z_below " << zb);
      const auto z = doubles({zp}, {1}).requires_grad_(), z_below = doubles({zb}, {1}).requires_grad_();
      const auto [h, c, z_new] = reference_step(layer, doubles({1.5}, {1, 1}), z_below, doubles({h0}, {1, 1}),
                                                doubles({c0}, {1, 1}), z, doubles({-0.4}, {1, 1}), rule);
      const auto dc = torch::autograd::grad({c.sum()}, {z, z_below}, {}, true);
      const auto dh = torch::autograd::grad({h.sum()}, {z, z_below}, {}, true);
      const double flushed = i * g, updated = f * c0 + i * g;
      const double cell = zp == 1 ? flushed : (zb == 1 ? updated : c0);
      const double dc_dzp = flushed - (zb == 1 ? updated : c0);
      const double dc_dzb = zp == 1 ? 0 : updated - c0;
      CHECK(dc[0].item<double>() == Approx(dc_dzp).margin(1e-14));
      CHECK(dc[1].item<double>() == Approx(dc_dzb).margin(1e-14));
      const double active = zp == 1 || zb == 1 ? 1 : 0;
      const double shown = o * std::tanh(cell), slope_of_h = active * o * (1 - std::tanh(cell) * std::tanh(cell));
      // dk/dzp = -(1-zb), dk/dzb = -(1-zp)
      CHECK(dh[0].item<double>() == Approx((1 - zb) * (shown - h0) + slope_of_h * dc_dzp).margin(1e-14));
      CHECK(dh[1].item<double>() == Approx((1 - zp) * (shown - h0) + slope_of_h * dc_dzb).margin(1e-14));
    }
  }
}

TEST_CASE("every derivative of a soft step, numerically") {
  const bool norm = GENERATE(false, true);
  const size_t l = GENERATE(size_t{0}, size_t{1}, size_t{2});
  INFO("layer norm " << norm << ", layer " << l);
  auto p = random_problem({.sizes = {4, 3, 4}, .input_size = 3, .batch = 3, .layer_norm = norm, .seed = 21 + l});
  const auto& layer = p.layers[l];
  const bool top = l == 2;
  const auto leaf = [](torch::Tensor x) { return x.contiguous().requires_grad_(); };
  const auto z_below = leaf(0.1 + 0.8 * p.uniform({3})), z = leaf(0.1 + 0.8 * p.uniform({3}));
  const auto below = leaf(p.normal({3, layer.bottom_up.size(1)}));
  const auto above = top ? torch::Tensor() : p.window.h0[l + 1];
  const auto wh = p.normal({3, layer.units()}), wc = p.normal({3, layer.units()}), wz = p.normal({3});
  BoundaryRule rule;
  rule.mode = BoundaryMode::Soft;
  rule.slope = scalar(0.8);
  const auto loss = [&] {
    const auto [h, c, z_new] = reference_step(layer, below, z_below, p.window.h0[l], p.window.c0[l], z, above, rule);
    const auto sum = (h * wh).sum() + (c * wc).sum();
    return top ? sum : sum + (z_new * wz).sum();
  };
  NamedTensors leaves = {{"below", below}, {"z_below", z_below}};
  if (!top) leaves.insert(leaves.end(), {{"z", z}, {"above", above}});
  const auto prefix = "layers." + std::to_string(l) + ".", own = "0." + std::to_string(l);
  for (const auto& named : p.leaves()) {
    const auto& name = named.first;
    if (name.rfind(prefix, 0) == 0 || name == "h" + own || name == "c" + own) leaves.push_back(named);
  }
  CHECK(leaves.size() == (norm ? (top ? 15u : 18u) - (top ? 2u : 0u) : (top ? 7u : 10u)));
  check_gradients(loss, leaves);
}

TEST_CASE("given boundaries replace the detector's") {
  auto p = random_problem({.sizes = {3, 2}, .batch = 3, .seed = 5});
  const auto& layer = p.layers[0];
  const auto ones = torch::ones({3}, torch::kFloat64);
  BoundaryRule rule;
  rule.slope = scalar(1);
  rule.given = doubles({1, 0, 1}, {3});
  const auto run = [&] {
    return reference_step(layer, p.window.input[0], ones, p.window.h0[0], p.window.c0[0], p.window.z0.select(1, 0),
                          p.window.h0[1], rule);
  };
  const auto [h, c, z] = run();
  CHECK(same(z.detach(), rule.given));
  CHECK(z.requires_grad());
  rule.boundary_gradient = false;
  const auto z_fixed = std::get<2>(run());
  CHECK(same(z_fixed, rule.given));
  CHECK_FALSE(z_fixed.requires_grad());
}

TEST_CASE("count_states counts the steps that are not COPY") {
  // One row, three layers, z0 = (0, 1): layer 1 always UPDATEs; layer 2 is active where z1 fires or z2 fired before;
  // the top is active where z2 fires.
  const auto z0 = doubles({0, 1}, {1, 2});
  //                    t = 0      1      2      3      4
  const auto z = doubles({0, 0, /**/ 1, 0, /**/ 0, 1, /**/ 0, 0, /**/ 1, 1}, {5, 1, 2});
  const auto states = count_states(z, z0);
  CHECK(states.scalar_type() == torch::kInt32);
  CHECK(same(states.select(2, 0), torch::tensor({{1, 2, 3, 4, 5}, {1, 2, 2, 3, 4}, {0, 0, 1, 1, 2}}, torch::kInt32)));
  // Steps after the end do not count.
  const auto lengths = torch::tensor({3}, torch::kInt64);
  CHECK(same(count_states(z, z0, lengths).select(2, 0),
             torch::tensor({{1, 2, 3, 3, 3}, {1, 2, 2, 2, 2}, {0, 0, 1, 1, 1}}, torch::kInt32)));
  // A single layer.
  CHECK(same(count_states(torch::zeros({3, 2, 0}), torch::zeros({2, 0})).select(2, 1),
             torch::tensor({{1, 2, 3}}, torch::kInt32)));
}
