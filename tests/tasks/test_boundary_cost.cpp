#include <cmath>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/boundary_cost.h"

using hmrnn::BoundaryCost;

TEST_CASE("a cost of firing is λ times the mean of each detector over the steps that count") {
  const auto z = torch::tensor({1, 0, 1, 1, 0, 0, 1, 0}, torch::kFloat32).view({2, 2, 2}).requires_grad_();
  BoundaryCost cost({.cost = {0.5, 2}}, 2, torch::kCPU);
  const auto all = cost.penalty(z);
  CHECK(all.item<double>() == Approx(0.5 * 3 / 4 + 2 * 1.0 / 4));
  all.backward();
  CHECK(torch::allclose(z.grad().select(2, 0), torch::full({2, 2}, 0.5 / 4)));
  CHECK(torch::allclose(z.grad().select(2, 1), torch::full({2, 2}, 2.0 / 4)));
  const auto weight = torch::tensor({1, 1, 1, 0}, torch::kFloat32).view({2, 2});
  CHECK(cost.penalty(z, weight).item<double>() == Approx(0.5 * 2 / 3 + 2 * 1.0 / 3));
  CHECK(cost.penalty(z, torch::zeros({2, 2})).item<double>() == 0);  // not NaN
  BoundaryCost one({.cost = {0.1}}, 2, torch::kCPU);                 // for all detectors
  CHECK(one.penalty(z).item<double>() == Approx(0.1));
}

TEST_CASE("with a target the multiplier moves by the ratio of rates, within its limit") {
  BoundaryCost cost({.target_rate = {0.25, 0.5}, .speed = 0.1, .limit = 0.12}, 2, torch::kCPU);
  const auto z = torch::zeros({4, 1, 2});
  z.select(2, 0).fill_(1);                     // the first detector fires too often, the second too seldom
  CHECK(cost.penalty(z).item<double>() == 0);  // λ starts at 0
  cost.settle(torch::zeros({}));
  CHECK(cost.lambda()[0] == Approx(0.1));
  CHECK(cost.lambda()[1] == Approx(-0.1));
  CHECK(cost.penalty(z).item<double>() == Approx(0.1));
  cost.settle(torch::ones({}));  // a skipped update
  CHECK(cost.lambda()[0] == Approx(0.1));
  for (int i = 0; i < 5; ++i) {
    cost.penalty(z);
    cost.settle(torch::zeros({}));
  }
  CHECK(cost.lambda()[0] == Approx(0.12));
  CHECK(cost.lambda()[1] == Approx(-0.12));
  hmrnn::SafeTensors file;
  cost.save(file);
  BoundaryCost other({.target_rate = {0.25, 0.5}}, 2, torch::kCPU);
  other.load(file, "FILE");
  CHECK(other.lambda() == cost.lambda());
  CHECK_THROWS_WITH(other.load({}, "FILE"), ContainsSubstring("FILE") && ContainsSubstring("boundary_cost"));
}

TEST_CASE("the multiplier of a low rate rises and falls equally fast, and moves little near the rate") {
  BoundaryCost cost({.target_rate = {0.1}, .speed = 0.01}, 1, torch::kCPU);
  const auto settle = [&](double rate) {  // of 1000 steps
    const double before = cost.lambda()[0];
    auto z = torch::zeros({1000, 1, 1});
    z.narrow(0, 0, static_cast<int64_t>(1000 * rate)).fill_(1);
    cost.penalty(z);
    cost.settle(torch::zeros({}));
    return cost.lambda()[0] - before;
  };
  CHECK(settle(0.5) == Approx(0.01));
  CHECK(settle(0) == Approx(-0.01));
  CHECK(settle(0.02) == Approx(-0.01));
  CHECK(settle(0.12) == Approx(0.01 * std::log(1.2)).epsilon(0.01));
  CHECK(settle(0.1) == Approx(0).margin(1e-9));
}

TEST_CASE("far off its target a detector's bias moves towards it, and not near it") {
  BoundaryCost cost({.target_rate = {0.1, 0.5, 0.1}, .bias_speed = 0.01}, 3, torch::kCPU);
  const auto change = [&](std::vector<double> rates, bool skipped = false) {  // of 1000 steps
    auto z = torch::zeros({1000, 1, 3});
    for (size_t l = 0; l < 3; ++l) z.select(2, l).narrow(0, 0, static_cast<int64_t>(1000 * rates[l])).fill_(1);
    cost.penalty(z);
    cost.settle(torch::tensor(skipped ? 1.0f : 0.0f));
    return cost.bias_change();
  };
  CHECK(torch::allclose(change({1, 1, 0}), torch::tensor({-0.01f, -0.01f, 0.01f})));
  // Odds of 8/9, 1/8 and 1/72.
  CHECK(torch::allclose(change({0.475, 0.11, 0.013}), torch::tensor({-0.01f, 0.01f, 0.01f})));
  CHECK(torch::allclose(change({0.465, 0.112, 0.015}), torch::zeros({3})));
  CHECK(torch::allclose(change({0.1, 0.885, 0.1}), torch::zeros({3})));
  CHECK(torch::allclose(change({0.1, 0.89, 0.1}), torch::tensor({0.0f, -0.01f, 0.0f})));
  CHECK(torch::allclose(change({1, 0, 0}, /*skipped=*/true), torch::zeros({3})));
  BoundaryCost constant({.cost = {0.1}}, 2, torch::kCPU);
  constant.penalty(torch::ones({4, 1, 2}));
  constant.settle(torch::zeros({}));
  CHECK_FALSE(constant.bias_change().defined());
}

TEST_CASE("no cost is nothing at all, and what does not fit is refused") {
  BoundaryCost none({}, 2, torch::kCPU);
  CHECK_FALSE(none.active());
  CHECK_FALSE(none.penalty(torch::zeros({1, 1, 2})).defined());
  none.settle(torch::zeros({}));
  hmrnn::SafeTensors file;
  none.save(file);
  CHECK(file.tensors.empty());
  CHECK_THROWS_WITH(BoundaryCost({.cost = {1, 2, 3}}, 2, torch::kCPU), ContainsSubstring("3 values"));
  CHECK_THROWS_AS(BoundaryCost({.cost = {1, 2}, .target_rate = {1, 2}}, 2, torch::kCPU), hmrnn::Error);
}
