// The rules that decide operations and boundaries: their table, and the agreement of all their users.
#include <torch/types.h>

#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/ops/boundary.h"
#include "hmrnn/ops/rules.h"
#include "support/random_problem.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("the operation of a step: FLUSH, UPDATE and COPY, the first layer and the top") {
  const float no = 0, yes = 1;
  const auto is = [](rules::Operation got, bool bottom_up, bool flush) {
    return got.bottom_up == bottom_up && got.flush == flush && got.active() == (bottom_up || flush);
  };
  CHECK(is(rules::operation(&no, &no), false, false));
  CHECK(is(rules::operation(&yes, &no), true, false));
  CHECK(is(rules::operation(&no, &yes), false, true));
  CHECK(is(rules::operation(&yes, &yes), true, true));
  const float* none = nullptr;
  CHECK(is(rules::operation(none, &no), true, false));
  CHECK(is(rules::operation(&no, none), false, false));
}

TEST_CASE("z and its gradient are those of ops/boundary, NaN and the ends of the hard sigmoid included") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::vector<double> pres = {-inf, -3, -1, -0.8, -0.1, -0.0, 0.0, 1e-9, 0.3, 0.8, 1, 3, inf, nan};
  const double slope = GENERATE(1.0, 1.25);
  const auto a = torch::tensor(slope, torch::kFloat64);
  for (const double pre : pres) {
    const auto s = torch::tensor(pre, torch::kFloat64).requires_grad_();
    const auto step = boundary(s, a, BoundaryMode::Step);
    INFO("s = " << pre << ", slope " << slope);
    CHECK(rules::decide<double>(pre, slope, nullptr) == step.item<double>());
    for (const double noise : {0.0, 0.45, 0.55, 0.9999}) {
      const auto drawn = boundary(s, a, BoundaryMode::Bernoulli, torch::tensor(noise, torch::kFloat64));
      CHECK(rules::decide<double>(pre, slope, &noise) == drawn.item<double>());
    }
    const auto gradient = torch::autograd::grad({step}, {s})[0].item<double>();
    const double ours = rules::passes_gradient(pre, slope) ? rules::slope_gradient(1.0, slope) : 0;
    CHECK(ours == gradient);
  }
}

TEST_CASE("a pre-activation that is NaN fires nowhere: operator, reference and stream") {
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  torch::manual_seed(3);
  HMLSTM model(HMLSTMOptions(2, {4, 3}).boundary(mode));
  model->to(torch::kFloat64);
  const torch::NoGradGuard no_grad;
  model->layers->ptr(0)->as<HMLSTMCell>()->bias[16] = std::nan("");
  const int64_t steps = 5;
  HMLSTMCall call;
  const auto input = torch::randn({steps, 1, 2}, torch::kFloat64);
  if (mode == BoundaryMode::Bernoulli) call.noise = torch::rand({steps, 1, 1}, torch::kFloat64);
  const auto out = model->forward(input, std::nullopt, call);
  CHECK(out.z.eq(0).all().item<bool>());
  CHECK(torch::isfinite(out.h[0]).all().item<bool>());

  auto p = random_problem({.mode = mode});
  p.layers[0].bias = p.layers[0].bias.detach().clone();
  p.layers[0].bias[16] = std::nan("");
  const auto reference = p.reference(), fast = p.op();
  CHECK(reference.z.select(2, 0).eq(0).all().item<bool>());
  CHECK(same(fast.z, reference.z));

  auto stream = model->stream();
  HMLSTMStepCall step;
  for (int64_t t = 0; t < steps; ++t) {
    if (call.noise.defined()) step.noise = call.noise[t][0];
    model->step(input[t][0], stream, step);
    CHECK(stream.z().eq(0).all().item<bool>());
  }
}

TEST_CASE("the gradients of z through c and h are those of the table, operation by operation") {
  // Each sum of these values identifies its terms.
  const double forget = 1, input = 10, cell = 100, jump = 1000;
  const auto update = rules::active_step_gradients<double>({true, false}, forget, input, cell, jump);
  CHECK(update.below == 1 + 10 - 100 + 1000);
  CHECK(update.before == -1);
  const auto flush = rules::active_step_gradients<double>({true, true}, forget, input, cell, jump);
  CHECK(flush.below == 0);
  CHECK(flush.before == -1);
  const auto flush_alone = rules::active_step_gradients<double>({false, true}, forget, input, cell, jump);
  CHECK(flush_alone.below == 0);
  CHECK(flush_alone.before == 10 - 100 + 1000);
  const auto copy = rules::copy_step_gradients<double>(forget, input, jump);
  CHECK(copy.below == 1 + 10 + 1000);
  CHECK(copy.before == 10 + 1000);
}
