#include <torch/types.h>

#include <cmath>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/boundary.h"
#include "support/tensors.h"

using namespace hmrnn;
using hmrnn::test::distance;
using hmrnn::test::doubles;
using hmrnn::test::same;

namespace {

torch::Tensor slope_of(double a) { return torch::tensor(a, torch::kFloat64); }

// Ordinary values, the kinks |a s| = 1 for a = 0.5, 1 and 2 (exact in binary), saturation, and the exact tie s = 0.
const std::vector<double> kPre = {-5, -2, -1.5, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.5, 2, 5};
torch::Tensor pre_values() { return doubles(kPre, {3, 5}); }

/// a/2 · 1[|a s| ≤ 1], the straight-through derivative.
double derivative(double s, double a) { return std::abs(a * s) <= 1 ? a / 2 : 0; }

}  // namespace

TEST_CASE("boundary modes have names") {
  for (const auto mode : {BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft})
    CHECK(parse_boundary_mode(to_string(mode)) == mode);
  CHECK(to_string(BoundaryMode::Bernoulli) == "bernoulli");
  CHECK_THROWS_AS(parse_boundary_mode("Step"), Error);
  CHECK_THROWS_WITH(parse_boundary_mode("hard"), ContainsSubstring("'hard'"));
}

TEST_CASE("hard sigmoid follows its definition") {
  for (const double a : {0.5, 1.0, 2.0}) {
    const auto got = test::values(hard_sigmoid(pre_values(), slope_of(a)));
    for (size_t k = 0; k < kPre.size(); ++k)
      CHECK(got[k] == Approx(std::max(0.0, std::min(1.0, (a * kPre[k] + 1) / 2))).margin(1e-15));
  }
  // Some by hand: slope 2 at 0.25 gives (0.5 + 1) / 2.
  CHECK(hard_sigmoid(slope_of(0.25), slope_of(2)).item<double>() == 0.75);
  CHECK(hard_sigmoid(slope_of(-0.25), slope_of(1)).item<double>() == 0.375);
}

TEST_CASE("step fires above one half, and an exact tie does not fire") {
  const auto pre = doubles({-3, -1e-6, 0, 1e-6, 3}, {5});
  const auto expected = doubles({0, 0, 0, 1, 1}, {5});
  for (const double a : {0.5, 1.0, 5.0}) CHECK(same(boundary(pre, slope_of(a), BoundaryMode::Step), expected));
  CHECK(same(boundary(pre.to(torch::kFloat32), torch::tensor(1.0f), BoundaryMode::Step), expected.to(torch::kFloat32)));
}

TEST_CASE("Bernoulli compares the noise with the probability") {
  // Probabilities at slope 1: 0, 0.25, 0.25, 0.5, 1.
  const auto pre = doubles({-1, -0.5, -0.5, 0, 1}, {5});
  const auto noise = doubles({0, 0.2, 0.25, 0.75, 0.999999}, {5});
  CHECK(same(boundary(pre, slope_of(1), BoundaryMode::Bernoulli, noise), doubles({0, 1, 0, 0, 1}, {5})));

  torch::manual_seed(3);
  const auto many = torch::full({20000}, 0.4, torch::kFloat64);  // p = 0.7, at slope 2: 0.9
  const auto draw = [&](double a) {
    return boundary(many, slope_of(a), BoundaryMode::Bernoulli, torch::rand({20000}, torch::kFloat64))
        .mean()
        .item<double>();
  };
  CHECK(draw(1) == Approx(0.7).margin(0.02));
  CHECK(draw(2) == Approx(0.9).margin(0.02));
}

TEST_CASE("soft is the hard sigmoid") {
  CHECK(same(boundary(pre_values(), slope_of(2), BoundaryMode::Soft), hard_sigmoid(pre_values(), slope_of(2))));
}

TEST_CASE("gradients are the hard sigmoid's in every mode, with slope, saturation and ties") {
  const auto weight = torch::arange(1, 16, torch::kFloat64).reshape({3, 5});
  for (const auto mode : {BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft}) {
    for (const double a : {0.5, 1.0, 2.0}) {
      INFO(to_string(mode) << ", slope " << a);
      const auto pre = pre_values().requires_grad_();
      const auto noise = torch::full({3, 5}, 0.4, torch::kFloat64);
      (boundary(pre, slope_of(a), mode, noise) * weight).sum().backward();
      const auto got = test::values(pre.grad());
      for (size_t k = 0; k < kPre.size(); ++k)
        CHECK(got[k] == Approx(static_cast<double>(k + 1) * derivative(kPre[k], a)).margin(1e-15));
    }
  }
}

TEST_CASE("straight_through shows the value and differentiates the hard sigmoid") {
  const auto pre = pre_values().requires_grad_();
  const auto value = torch::linspace(-1, 2, 15, torch::kFloat64).reshape({3, 5}).requires_grad_();
  const auto z = straight_through(value, pre, slope_of(2));
  CHECK(same(z.detach(), value.detach()));
  z.sum().backward();
  CHECK_FALSE(value.grad().defined());
  const auto got = test::values(pre.grad());
  for (size_t k = 0; k < kPre.size(); ++k) CHECK(got[k] == derivative(kPre[k], 2));

  // A value of another dtype is converted to that of pre.
  CHECK(straight_through(torch::ones({3, 5}, torch::kBool), pre, slope_of(1)).scalar_type() == torch::kFloat64);
}

TEST_CASE("boundary does not alias and does not change what it is given") {
  const auto pre = pre_values();
  const auto value = torch::ones({3, 5}, torch::kFloat64);
  auto z = straight_through(value, pre, slope_of(1));
  z.zero_();
  CHECK(same(value, torch::ones({3, 5}, torch::kFloat64)));
  auto soft = boundary(pre, slope_of(1), BoundaryMode::Soft);
  soft.zero_();
  CHECK(same(pre, pre_values()));
}

TEST_CASE("boundary names a bad argument") {
  const auto pre = pre_values();
  CHECK_THROWS_AS(boundary(pre, slope_of(1), BoundaryMode::Bernoulli), c10::Error);
  CHECK_THROWS_WITH(boundary(pre, slope_of(1), BoundaryMode::Bernoulli), ContainsSubstring("noise"));
  CHECK_THROWS_WITH(boundary(pre, slope_of(1), BoundaryMode::Bernoulli, torch::rand({5})), ContainsSubstring("noise"));
  CHECK_THROWS_WITH(boundary(pre, torch::ones({2}), BoundaryMode::Step), ContainsSubstring("slope"));
  CHECK_THROWS_WITH(boundary(pre.to(torch::kInt64), slope_of(1), BoundaryMode::Step), ContainsSubstring("pre"));
  CHECK_THROWS_WITH(straight_through(torch::ones({5}), pre, slope_of(1)), ContainsSubstring("value"));
  CHECK_THROWS_WITH(straight_through(pre, pre, torch::ones({1})), ContainsSubstring("slope"));
}
