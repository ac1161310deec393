#include <torch/autograd.h>
#include <torch/csrc/autograd/forward_grad.h>

#include <cmath>
#include <limits>

#include "catch.h"
#include "hmrnn/ops/cross_entropy.h"
#include "support/called_operators.h"
#include "support/gradient_check.h"
#include "support/thread_count.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

using Loss = torch::Tensor (*)(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&);

torch::Tensor gradient_of(Loss loss, const torch::Tensor& logits, const torch::Tensor& target,
                          const torch::Tensor& weight) {
  const auto x = logits.detach().requires_grad_();
  return torch::autograd::grad({loss(x, target, weight) * 3.5}, {x})[0];
}

}  // namespace

TEST_CASE("cross entropy and its gradient are those of LibTorch, for any number of symbols, rows and threads") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  const auto symbols = GENERATE(1, 2, 3, 7, 8, 15, 16, 17, 33, 50, 205, 1030);
  const auto steps = GENERATE(1, 5, 700);
  const bool weighted = GENERATE(false, true);
  INFO(dtype << ", " << symbols << " symbols, " << steps << " steps, weighted " << weighted);
  torch::manual_seed(symbols + steps);
  const auto logits = torch::randn({steps, 3, symbols}, dtype) * 4;
  const auto target = torch::randint(symbols, {steps, 3}, torch::kInt64);
  auto weight = weighted ? torch::randint(2, {steps, 3}).to(dtype) : torch::Tensor();
  if (weighted) weight[0][0] = 1;
  // The reference in float64: float32 is compared with what it should be.
  const auto exact = reference_cross_entropy(logits.to(torch::kFloat64), target, weight);
  const auto exact_gradient = gradient_of(reference_cross_entropy, logits.to(torch::kFloat64), target, weight);
  const PoisonedMemory poisoned;
  const double bound = dtype == torch::kFloat32 ? 3e-6 : 1e-13;
  torch::Tensor one_thread;
  for (const int threads : {1, 2, 3, 4}) {
    const ThreadCount count(threads);
    const auto loss = cross_entropy(logits, target, weight),
               gradient = gradient_of(cross_entropy, logits, target, weight);
    CHECK(loss.scalar_type() == dtype);
    CHECK(distance(loss.to(torch::kFloat64), exact) < bound * (1 + exact.item<double>()));
    CHECK(distance(gradient.to(torch::kFloat64), exact_gradient) < bound);
    const auto with_gradient = cross_entropy(logits.detach().requires_grad_(), target, weight).detach();
    CHECK(distance(with_gradient, loss) <= bound);
    const auto all = torch::cat({loss.view({1}), with_gradient.view({1}), gradient.flatten()});
    if (threads == 1) one_thread = all;
    CHECK(same(all, one_thread));
  }
}

TEST_CASE("cross entropy's gradient, numerically") {
  torch::manual_seed(5);
  const auto logits = torch::randn({3, 2, 11}, torch::kFloat64).requires_grad_();
  const auto target = torch::randint(11, {3, 2}, torch::kInt64);
  const auto weight = GENERATE(torch::Tensor(), doubles({1, 0, 1, 1, 0, 1}, {3, 2}));
  check_gradients([&] { return cross_entropy(logits, target, weight).square(); }, {{"logits", logits}});
}

TEST_CASE("cross entropy of logits far apart is finite, and what is not finite stays so") {
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  const auto target = torch::zeros({1, 1}, torch::kInt64);
  for (const int64_t symbols : {5, 16, 37}) {
    const auto row = [&](float at_target, float others) {
      const auto x = torch::full({1, 1, symbols}, others);
      x[0][0][0] = at_target;
      return x;
    };
    INFO(symbols << " symbols");
    const auto loss = [&](const torch::Tensor& x) { return cross_entropy(x, target).item<double>(); };
    CHECK(loss(row(1e4F, -1e4F)) == 0);
    CHECK(loss(row(-1e4F, 1e4F)) == Approx(2e4 + std::log(static_cast<double>(symbols - 1))));
    CHECK(loss(row(-500, -500)) == Approx(std::log(static_cast<double>(symbols))));  // exp(-500) is 0 in float32
    CHECK(loss(row(500, 500)) == Approx(std::log(static_cast<double>(symbols))));
    // Large logits that are close together, against what their float32 values give.
    CHECK(loss(row(1e4F, 1e4F)) == Approx(std::log(static_cast<double>(symbols))).epsilon(1e-6));
    CHECK(loss(row(1e4F, 1e4F - 1)) == Approx(std::log1p((symbols - 1) / std::exp(1.0))).epsilon(1e-6));
    CHECK(loss(row(1, -inf)) == 0);
    CHECK(loss(row(-inf, 1)) == inf);
    for (const auto& x : {row(nan, 1), row(1, nan), row(inf, 1), row(1, inf), row(-inf, -inf)}) {
      CHECK(std::isnan(loss(x)) == std::isnan(reference_cross_entropy(x, target).item<double>()));
      CHECK(same(gradient_of(cross_entropy, x, target, {}).isnan(),
                 gradient_of(reference_cross_entropy, x, target, {}).isnan()));
    }
    for (int64_t at = 1; at < symbols; ++at) {  // in each lane of a vector, and in its tail
      auto x = row(1, 1);
      x[0][0][at] = nan;
      CHECK(std::isnan(loss(x)));
    }
  }
}

TEST_CASE("cross entropy takes tensors of any strides") {
  torch::manual_seed(6);
  const auto logits = torch::randn({9, 4, 6}, torch::kFloat64), index = torch::randint(9, {6, 4}, torch::kInt64);
  const auto x = logits.permute({2, 1, 0}), target = index, weight = torch::randint(2, {4, 6}).to(torch::kFloat64).t();
  REQUIRE(weight.sum().item<double>() > 0);
  CHECK(same(cross_entropy(x, target, weight), cross_entropy(x.contiguous(), target, weight.contiguous())));
  CHECK(distance(cross_entropy(x, target, weight), reference_cross_entropy(x, target, weight)) < 1e-14);
  CHECK(same(gradient_of(cross_entropy, x, target, {}), gradient_of(cross_entropy, x.contiguous(), target, {})));
  CHECK(same(cross_entropy(x, target.t().contiguous().t()), cross_entropy(x, target)));
  CHECK(same(cross_entropy(x.reshape({24, 9}), target.reshape({24})), cross_entropy(x, target)));
}

TEST_CASE("a graph of cross entropy is kept for a second pass, and logits may change after the loss") {
  torch::manual_seed(8);
  const auto x = torch::randn({3, 2, 7}).requires_grad_();
  const auto target = torch::randint(7, {3, 2}, torch::kInt64);
  const auto logits = x * 1;
  const auto loss = cross_entropy(logits, target);
  {
    const torch::NoGradGuard no_grad;
    logits.mul_(100);
  }
  const auto first = torch::autograd::grad({loss}, {x}, {}, /*retain_graph=*/true)[0];
  const auto kept = first.clone();
  const auto second = torch::autograd::grad({loss}, {x}, {torch::full({}, 2.0F)})[0];
  CHECK(same(first, kept));
  CHECK(torch::allclose(second, 2 * first));
  CHECK(torch::allclose(first, gradient_of(reference_cross_entropy, x, target, {}) / 3.5, 1e-4, 1e-7));
}

TEST_CASE("a weighted mean of half-precision logits is summed in float32") {
  torch::manual_seed(9);
  const auto x = torch::randn({700, 3, 5}).to(torch::kBFloat16);
  const auto target = torch::randint(5, {700, 3}, torch::kInt64), weight = torch::ones({700, 3});
  const auto loss = cross_entropy(x, target, weight);
  CHECK(loss.scalar_type() == torch::kBFloat16);
  const auto exact = reference_cross_entropy(x.to(torch::kFloat64), target).item<double>();
  CHECK(std::abs(loss.item<double>() - exact) < exact * 0.005);  // each loss has 8 bits, and so has their mean
}

TEST_CASE("on the CPU loss and gradient are one operator, called once") {
  const auto logits = torch::randn({5, 3, 8}).requires_grad_();
  const auto target = torch::randint(8, {5, 3}, torch::kInt64);
  const auto called = called_operators([&] { cross_entropy(logits, target).backward(); });
  CHECK(called.at("hmrnn::_cross_entropy") == 1);
  for (const auto& [name, times] : called) {
    INFO(name << " " << times);
    CHECK(name.find("softmax") == std::string::npos);
    CHECK(name.find("nll_loss") == std::string::npos);
  }
}

TEST_CASE("cross entropy refuses what it cannot compute, on the fast path and in the reference") {
  const Loss loss = GENERATE(Loss(cross_entropy), Loss(reference_cross_entropy));
  const auto x = torch::randn({3, 2, 4});
  const auto target = torch::zeros({3, 2}, torch::kInt64);
  for (const int64_t bad : {-100, -1, 4}) {  // LibTorch leaves out targets of -100 unless told
    auto wrong = target.clone();
    wrong[2][1] = bad;
    CHECK_THROWS_AS(loss(x, wrong, {}), c10::Error);
    CHECK_THROWS_WITH(cross_entropy(x, wrong),
                      ContainsSubstring("target " + std::to_string(bad) + " is not in [0, 4)"));
  }
  const auto none = torch::Tensor();
  CHECK_THROWS_WITH(loss(x, none, none), ContainsSubstring("target is missing"));
  CHECK_THROWS_WITH(loss(x, target.t(), none), ContainsSubstring("target must have shape"));
  CHECK_THROWS_WITH(loss(x, target.to(torch::kInt32), none), ContainsSubstring("int64"));
  CHECK_THROWS_WITH(loss(x[0][0], target, none), ContainsSubstring("[T, B, V]"));
  CHECK_THROWS_WITH(loss(x.to(torch::kInt64), target, none), ContainsSubstring("floating point"));
  CHECK_THROWS_WITH(loss(x.narrow(0, 0, 0), target.narrow(0, 0, 0), none), ContainsSubstring("empty"));
  CHECK_THROWS_WITH(loss(x, target, torch::ones({3})), ContainsSubstring("weight must have shape"));
  CHECK_THROWS_WITH(loss(x, target, torch::ones({3, 2}).requires_grad_()), ContainsSubstring("constant"));
  CHECK_THROWS_WITH(loss(x, target.to(torch::kMeta), none), ContainsSubstring("target must be on"));
}

TEST_CASE("cross entropy's other derivatives: a second one is refused, a forward one is the reference's") {
  torch::manual_seed(7);
  const auto target = torch::randint(5, {2, 3}, torch::kInt64);
  auto x = torch::randn({2, 3, 5}).requires_grad_();
  const auto first = torch::autograd::grad({cross_entropy(x, target)}, {x}, {}, {}, /*create_graph=*/true)[0];
  CHECK_THROWS_WITH(first.square().sum().backward(), ContainsSubstring("reference_cross_entropy"));
  const auto reference =
      torch::autograd::grad({reference_cross_entropy(x, target)}, {x}, {}, {}, /*create_graph=*/true)[0];
  CHECK(torch::autograd::grad({reference.square().sum()}, {x})[0].abs().max().item<double>() > 0);

  const auto level = torch::autograd::ForwardADLevel::get_next_idx();
  {
    const auto dual = x.detach().clone(), direction = torch::randn_like(dual);
    dual._set_fw_grad(direction, level, /*is_inplace_op=*/false);
    const auto derivative = cross_entropy(dual, target)._fw_grad(level);
    REQUIRE(derivative.defined());
    CHECK(derivative.item<double>() == Approx((first.detach() * direction).sum().item<double>()).epsilon(1e-4));
  }
  torch::autograd::ForwardADLevel::release_idx(level);
}
