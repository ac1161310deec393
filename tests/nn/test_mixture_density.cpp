#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/mixture_density.h"
#include "support/gradient_check.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

torch::Tensor random_raw(torch::IntArrayRef leading, int64_t mixtures, double scale, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  auto shape = leading.vec();
  shape.push_back(6 * mixtures + 1);
  return scale * torch::randn(shape, generator, torch::TensorOptions(torch::kFloat64));
}

/// The textbook formula of the density, in plain loops over double, with the logarithm at the end.
double direct(const std::vector<double>& raw, double x, double y, double pen) {
  const size_t m = raw.size() / 6;
  double norm = 0, density = 0;
  for (size_t i = 0; i < m; ++i) norm += std::exp(raw[i]);
  for (size_t i = 0; i < m; ++i) {
    const double sx = std::exp(7 * std::tanh(raw[3 * m + i] / 7)), sy = std::exp(7 * std::tanh(raw[4 * m + i] / 7));
    const double rho = 0.995 * std::tanh(raw[5 * m + i]);
    const double u = (x - raw[m + i]) / sx, v = (y - raw[2 * m + i]) / sy;
    density += std::exp(raw[i]) / norm / (2 * std::numbers::pi * sx * sy * std::sqrt(1 - rho * rho)) *
               std::exp(-(u * u + v * v - 2 * rho * u * v) / (2 * (1 - rho * rho)));
  }
  const double up = 1 / (1 + std::exp(-raw[6 * m]));
  return std::log(density) + std::log(pen != 0 ? up : 1 - up);
}

torch::Tensor targets(torch::IntArrayRef leading, uint64_t seed) {
  auto generator = at::detail::createCPUGenerator(seed);
  auto shape = leading.vec();
  shape.push_back(3);
  auto out = torch::randn(shape, generator, torch::TensorOptions(torch::kFloat64));
  out.select(-1, 2).copy_(out.select(-1, 2).gt(0));
  return out;
}

}  // namespace

TEST_CASE("mixture: the log density is the direct formula's") {
  const auto raw = random_raw({5, 4}, 3, 1.5, 1), target = targets({5, 4}, 2);
  const auto got = mixture_log_density(read_mixture(raw), target);
  REQUIRE(got.sizes() == torch::IntArrayRef({5, 4}));
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t b = 0; b < 4; ++b) {
      const auto at = target[t][b];
      const double expected =
          direct(values(raw[t][b]), at[0].item<double>(), at[1].item<double>(), at[2].item<double>());
      CHECK(got[t][b].item<double>() == Approx(expected).epsilon(1e-12));
    }
  }
}

TEST_CASE("mixture: float32 agrees with float64") {
  const auto raw = random_raw({300}, 20, 2, 3), target = targets({300}, 4);
  const auto exact = mixture_log_density(read_mixture(raw), target);
  const auto single = mixture_log_density(read_mixture(raw.to(torch::kFloat32)), target.to(torch::kFloat32));
  // rounding of the inputs changes u² by 2^-23 of its value
  CHECK(((single.to(torch::kFloat64) - exact).abs() / (1 + exact.abs())).max().item<double>() < 2e-5);
}

TEST_CASE("mixture: the density integrates to 1 over the plane and both states of the pen") {
  const auto correlation = GENERATE(0.0, 1.5, -4.0);
  auto raw = random_raw({}, 3, 0.5, 5);
  raw.narrow(0, 15, 3).add_(correlation);
  // A grid of step 0.025 over ± 8: for a smooth function that vanishes at the ends, the error of the trapezoidal rule
  // falls exponentially with the ratio of the smallest deviation to the step.
  const auto axis = torch::arange(-8.0, 8.0, 0.025, torch::kFloat64);
  const auto grid = torch::meshgrid({axis, axis}, "ij");
  double total = 0;
  for (const double pen : {0.0, 1.0}) {
    const auto target = torch::stack({grid[0].reshape({-1}), grid[1].reshape({-1}),
                                      torch::full({axis.numel() * axis.numel()}, pen, torch::kFloat64)},
                                     1);
    const auto n = target.size(0);
    total += mixture_log_density(read_mixture(raw.unsqueeze(0).expand({n, -1})), target).exp().sum().item<double>() *
             0.025 * 0.025;
  }
  CHECK(total == Approx(1).epsilon(1e-6));
}

TEST_CASE("mixture: gradients of raw parameters and target are those of central differences") {
  auto raw = random_raw({4}, 3, 1.0, 6).requires_grad_();
  auto target = targets({4}, 7);
  target.requires_grad_();
  const auto weight = torch::arange(1, 5, torch::kFloat64);
  check_gradients([&] { return (mixture_log_density(read_mixture(raw), target) * weight).sum(); },
                  {{"raw", raw}, {"target", target}});
}

TEST_CASE("mixture: finite values and gradients in float32 for extreme parameters and targets") {
  const auto size = GENERATE(0.0, 10.0, 1e3, 1e6, 1e10, 1e30);
  const auto where = GENERATE(0.0, 1e3, 1e10);
  auto generator = at::detail::createCPUGenerator(8);
  auto raw = torch::randn({200, 31}, generator, torch::TensorOptions(torch::kFloat32)).sign() * size;
  raw.narrow(1, 5, 10).clamp_(-1e10, 1e10);  // means, which have no bound
  raw.requires_grad_();
  auto target = torch::randn({200, 3}, generator, torch::TensorOptions(torch::kFloat32)).sign() * where;
  target.select(1, 2).copy_(target.select(1, 2).gt(0));
  const auto density = mixture_log_density(read_mixture(raw), target);
  INFO("parameters of size " << size << ", targets of size " << where);
  CHECK(torch::isfinite(density).all().item<bool>());
  density.sum().backward();
  CHECK(torch::isfinite(raw.grad()).all().item<bool>());
}

TEST_CASE("mixture: deviations and correlations are bounded, and Graves' near 0") {
  auto raw = torch::zeros({3, 13}, torch::kFloat64);
  raw[0].fill_(50);
  raw[1].fill_(-50);
  raw[2].fill_(0.3);
  const auto m = read_mixture(raw);
  CHECK(m.log_deviation_x[0][0].item<double>() == Approx(7));
  CHECK(m.log_deviation_y[1][1].item<double>() == Approx(-7));
  CHECK(m.correlation[0][0].item<double>() == Approx(0.995));
  CHECK(m.log_deviation_x[2][0].item<double>() == Approx(0.3).epsilon(0.001));
  CHECK(m.correlation[2][0].item<double>() == Approx(std::tanh(0.3)).epsilon(0.006));
  CHECK(m.log_weight.exp().sum(-1).allclose(torch::ones({3}, torch::kFloat64)));
}

TEST_CASE("mixture: draws have the mixture's moments, and bias takes the spread away") {
  // two components with weights 0.3 and 0.7
  auto raw = torch::tensor({std::log(0.3), std::log(0.7), -2.0, 1.0, 0.5, -1.0, 0.0, -0.7, 0.2, -0.3, 1.0, -0.5, -1.0},
                           torch::kFloat64);
  const auto mixture = read_mixture(raw);
  auto generator = at::detail::createCPUGenerator(9);
  constexpr int kDraws = 20000;
  double sum_x = 0, sum_xx = 0, sum_y = 0, sum_xy = 0, up = 0;
  for (int i = 0; i < kDraws; ++i) {
    const auto p = values(sample_mixture(mixture, 0, generator));
    REQUIRE(p.size() == 3);
    sum_x += p[0] / kDraws;
    sum_xx += p[0] * p[0] / kDraws;
    sum_y += p[1] / kDraws;
    sum_xy += p[0] * p[1] / kDraws;
    up += p[2] / kDraws;
  }
  const auto sx = values(mixture.log_deviation_x.exp()), sy = values(mixture.log_deviation_y.exp());
  const auto rho = values(mixture.correlation);
  // the margin 0.07 is five standard errors of 20,000 draws with a deviation of about 2
  CHECK(sum_x == Approx(0.3 * -2 + 0.7).margin(0.07));
  CHECK(sum_y == Approx(0.3 * 0.5 + 0.7 * -1).margin(0.07));
  CHECK(sum_xx == Approx(0.3 * (4 + sx[0] * sx[0]) + 0.7 * (1 + sx[1] * sx[1])).margin(0.15));
  CHECK(sum_xy == Approx(0.3 * (-1 + rho[0] * sx[0] * sy[0]) + 0.7 * (-1 + rho[1] * sx[1] * sy[1])).margin(0.15));
  CHECK(up == Approx(1 / (1 + std::exp(1.0))).margin(0.02));

  double spread = 0;
  for (int i = 0; i < 200; ++i) {
    const auto p = values(sample_mixture(mixture, 8, generator));
    spread = std::max({spread, std::abs(p[0] - 1), std::abs(p[1] + 1)});
  }
  CHECK(spread < 0.01);  // always the heavier component, whose deviations are exp(-8) times as large
  CHECK_THROWS_AS(sample_mixture(mixture, -1, generator), c10::Error);
}

TEST_CASE("mixture: shapes that do not fit are refused") {
  CHECK_THROWS_AS(read_mixture(torch::zeros({4, 12})), c10::Error);
  CHECK_THROWS_AS(read_mixture(torch::zeros({4, 1})), c10::Error);
  const auto mixture = read_mixture(torch::zeros({4, 2, 13}));
  CHECK_THROWS_AS(mixture_log_density(mixture, torch::zeros({4, 3})), c10::Error);
  CHECK_THROWS_AS(mixture_log_density(mixture, torch::zeros({4, 2, 2})), c10::Error);
  CHECK_THROWS_AS(MixtureDensity(MixtureDensityOptions(0)), c10::Error);
  CHECK_THROWS_AS(MixtureDensity(MixtureDensityOptions(4).mixtures(0)), c10::Error);
  MixtureDensity module(MixtureDensityOptions(4).mixtures(2));
  CHECK(module->forward(torch::zeros({5, 3, 4})).sizes() == torch::IntArrayRef({5, 3, 13}));
}
