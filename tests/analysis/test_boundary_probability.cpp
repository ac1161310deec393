#include "catch.h"
#include "hmrnn/analysis/boundary_probability.h"
#include "support/tensors.h"

namespace {

hmrnn::HMLSTM module(hmrnn::BoundaryMode mode, bool layer_norm) {
  torch::manual_seed(11);
  hmrnn::HMLSTM out(hmrnn::HMLSTMOptions(5, {6, 4, 3}).boundary(mode).layer_norm(layer_norm));
  out->to(torch::kFloat64);
  out->eval();
  out->set_slope(1.7);
  return out;
}

}  // namespace

TEST_CASE("the probability of a soft boundary is the boundary, over two windows") {
  for (const bool layer_norm : {true, false}) {
    auto core = module(hmrnn::BoundaryMode::Soft, layer_norm);
    const auto x = torch::randn({9, 2, 5}, torch::kFloat64);
    auto state = core->initial_state(2);
    double inside = 0;  // probabilities strictly between 0 and 1: where hardσ saturates, a wrong sum would not show
    for (const auto& window : {x.narrow(0, 0, 4), x.narrow(0, 4, 5)}) {
      const auto out = core->forward(window, state);
      const auto p = hmrnn::boundary_probability(core, window, state, out);
      CHECK(hmrnn::test::distance(p, out.z) < 1e-12);
      inside += p.gt(0).logical_and(p.lt(1)).sum().item<double>();
      state = out.state;
    }
    CHECK(inside > 9);
  }
}

TEST_CASE("a step fires where the probability is above one half, a draw below it") {
  auto step = module(hmrnn::BoundaryMode::Step, true);
  const auto x = torch::randn({40, 3, 5}, torch::kFloat64);
  auto out = step->forward(x);
  const auto p = hmrnn::boundary_probability(step, x, step->initial_state(3), out);
  CHECK(torch::equal(p.gt(0.5), out.z.gt(0.5)));
  CHECK(out.z.sum().item<double>() > 0);

  auto draws = module(hmrnn::BoundaryMode::Bernoulli, true);
  hmrnn::HMLSTMCall call;
  call.noise = torch::rand({40, 3, 2}, torch::kFloat64);
  out = draws->forward(x, std::nullopt, call);
  const auto q = hmrnn::boundary_probability(draws, x, draws->initial_state(3), out);
  CHECK(torch::equal(call.noise.lt(q), out.z.gt(0.5)));
}

TEST_CASE("under given boundaries it is what the detectors say of the states that these made") {
  auto core = module(hmrnn::BoundaryMode::Step, false);
  const auto x = torch::randn({12, 1, 5}, torch::kFloat64);
  const auto learnt = core->forward(x);
  hmrnn::HMLSTMCall call;
  call.boundaries = learnt.z.clone();
  const auto given = core->forward(x, std::nullopt, call);
  const auto state = core->initial_state(1);
  CHECK(torch::equal(hmrnn::boundary_probability(core, x, state, learnt),
                     hmrnn::boundary_probability(core, x, state, given)));
  call.boundaries = 1 - learnt.z;
  const auto other = core->forward(x, std::nullopt, call);
  CHECK_FALSE(torch::equal(hmrnn::boundary_probability(core, x, state, learnt),
                           hmrnn::boundary_probability(core, x, state, other)));
}

TEST_CASE("norms are those of the states") {
  auto core = module(hmrnn::BoundaryMode::Step, true);
  const auto out = core->forward(torch::randn({4, 2, 5}, torch::kFloat64));
  const auto norms = hmrnn::state_norms(out);
  CHECK(norms.sizes() == at::IntArrayRef({4, 2, 3}));
  CHECK(norms[2][1][1].item<double>() == Approx(out.h[1][2][1].pow(2).sum().sqrt().item<double>()).epsilon(1e-12));
}

TEST_CASE("probabilities refuse an input of other shape") {
  auto core = module(hmrnn::BoundaryMode::Step, true);
  const auto x = torch::randn({4, 2, 5}, torch::kFloat64);
  const auto out = core->forward(x);
  CHECK_THROWS_AS(hmrnn::boundary_probability(core, x.narrow(0, 0, 3), core->initial_state(2), out), c10::Error);
}
