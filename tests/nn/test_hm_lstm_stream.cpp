#include <torch/types.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

HMLSTM random_stack(const HMLSTMOptions& options) {
  torch::manual_seed(21);
  HMLSTM model(options);
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.4 * torch::randn_like(p));
  return model;
}

HMLSTMState random_state(const HMLSTM& model) {
  auto state = model->initial_state(1);
  for (auto& x : state.h) x = torch::rand_like(x) - 0.5;
  for (auto& x : state.c) x = torch::randn_like(x);
  state.z = torch::ones_like(state.z);
  return state;
}

}  // namespace

TEST_CASE("a stream equals the window, step for step") {
  const auto sizes =
      GENERATE(std::vector<int64_t>{5}, std::vector<int64_t>{5, 9, 4}, std::vector<int64_t>{3, 17, 6, 2});
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const bool norm = GENERATE(true, false);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft);
  INFO("layers " << sizes.size() << ", layer norm " << norm << ", " << to_string(mode) << ", " << dtype);
  auto model = random_stack(HMLSTMOptions(3, sizes).layer_norm(norm).boundary(mode).slope(1.25));
  model->to(dtype);
  const int64_t T = 40, L = static_cast<int64_t>(sizes.size());
  const auto start = random_state(model);
  const auto input = torch::randn({T, 1, 3}, dtype);
  HMLSTMCall call;
  if (mode == BoundaryMode::Bernoulli) call.noise = torch::rand({T, 1, L - 1}, dtype);
  const auto expected = model->forward(input, start, call);

  const double bound = dtype == torch::kFloat64 ? 1e-10 : 1e-4;
  auto stream = model->stream(start);
  HMLSTMStepCall step;
  for (int64_t t = 0; t < T; ++t) {
    if (call.noise.defined()) step.noise = call.noise[t][0];
    model->step(input[t][0], stream, step);
    REQUIRE(distance(stream.z(), expected.z[t][0]) <= (mode == BoundaryMode::Soft ? bound : 0));
    for (int64_t l = 0; l < L; ++l) {
      REQUIRE(distance(stream.h(l), expected.h[l][t][0]) < bound);
      if (mode == BoundaryMode::Soft || t == 0) continue;
      const bool changed = expected.state_index[l][t].item<int32_t>() != expected.state_index[l][t - 1].item<int32_t>();
      REQUIRE(stream.changed(l) == changed);
    }
  }
  const auto end = stream.state();
  for (int64_t l = 0; l < L; ++l) {
    CHECK(distance(end.h[l], expected.state.h[l]) < bound);
    CHECK(distance(end.c[l], expected.state.c[l]) < bound);
  }
  // The returned state is a copy, and a new stream can start from it.
  const auto kept = end.h[0].clone();
  auto again = model->stream(end);
  HMLSTMStepCall more;
  if (call.noise.defined()) more.noise = torch::rand({L - 1}, dtype);
  model->step(input[0][0], stream, more);
  model->step(input[0][0], again, more);
  CHECK(same(end.h[0], kept));
  for (int64_t l = 0; l < L; ++l) CHECK(distance(stream.h(l), again.h(l)) < bound);
}

TEST_CASE("a stream takes given boundaries and rows of a table") {
  const double rate = GENERATE(0.0, 0.3, 1.0);
  auto model = random_stack(HMLSTMOptions(3, {5, 9, 4}));
  model->to(torch::kFloat64);
  const int64_t T = 24;  // rounding errors grow with the steps, as the state does
  const auto table = torch::randn({6, 3}, torch::kFloat64);
  const auto index = torch::randint(6, {T, 1}, torch::kInt64);
  HMLSTMCall call;
  call.boundaries = (torch::rand({T, 1, 2}, torch::kFloat64) < rate).to(torch::kFloat64);
  const auto expected = model->forward_indexed(table, index, std::nullopt, call);
  auto stream = model->stream();
  for (int64_t t = 0; t < T; ++t) {
    // Given and detected steps may alternate: the values for detection are kept up to date.
    HMLSTMStepCall step;
    step.boundaries = call.boundaries[t][0];
    model->step_indexed(table, index[t][0].item<int64_t>(), stream, step);
    for (int64_t l = 0; l < 3; ++l) REQUIRE(distance(stream.h(l), expected.h[l][t][0]) < 1e-10);
  }
  const auto detected = model->forward_indexed(table, index, expected.state);
  for (int64_t t = 0; t < T; ++t) {
    model->step_indexed(table, index[t][0].item<int64_t>(), stream);
    REQUIRE(same(stream.z(), detected.z[t][0]));
    for (int64_t l = 0; l < 3; ++l) REQUIRE(distance(stream.h(l), detected.h[l][t][0]) < 1e-10);
  }
}

TEST_CASE("large layers: the product is shared by threads") {
  auto model = random_stack(HMLSTMOptions(3, {301, 258}));
  const auto input = torch::randn({12, 1, 3});
  const auto expected = model->forward(input);
  auto stream = model->stream();
  for (int64_t t = 0; t < 12; ++t) {
    model->step(input[t][0], stream);
    REQUIRE(same(stream.z(), expected.z[t][0]));
    for (int64_t l = 0; l < 2; ++l) REQUIRE(distance(stream.h(l), expected.h[l][t][0]) < 1e-4);
  }
}

TEST_CASE("threads step streams of one module at the same time") {
  const auto model = random_stack(HMLSTMOptions(3, {16, 12, 8}));
  const int64_t T = 200;
  const auto input = torch::randn({4, T, 3});
  const auto read = [&](int64_t i) {
    auto stream = model->stream();
    for (int64_t t = 0; t < T; ++t) model->step(input[i][t], stream);
    return stream.state();
  };
  std::vector<HMLSTMState> alone, together(4);
  for (int64_t i = 0; i < 4; ++i) alone.push_back(read(i));
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { together[i] = read(i); });
  for (auto& thread : threads) thread.join();
  for (int64_t i = 0; i < 4; ++i) {
    for (int64_t l = 0; l < 3; ++l) CHECK(same(together[i].h[l], alone[i].h[l]));
    CHECK(same(together[i].z, alone[i].z));
  }
}

TEST_CASE("a stream says what does not fit") {
  const HMLSTM model(3, std::vector<int64_t>{5, 4}), other(3, std::vector<int64_t>{5, 4, 4});
  auto stream = model->stream();
  const auto x = torch::zeros({3});
  CHECK_THROWS_WITH(model->step(torch::zeros({4}), stream), ContainsSubstring("input must have shape [3], got [4]"));
  CHECK_THROWS_WITH(model->step(x.to(torch::kFloat64), stream), ContainsSubstring("input must be Float"));
  CHECK_THROWS_WITH(other->step(x, stream), ContainsSubstring("made by a module of other sizes"));
  HMLSTMStepCall call;
  call.boundaries = torch::zeros({2});
  CHECK_THROWS_WITH(model->step(x, stream, call), ContainsSubstring("boundaries must have shape [1], got [2]"));
  CHECK_THROWS_WITH(model->step_indexed(torch::zeros({7, 3}), 7, stream), ContainsSubstring("index must be in [0, 7)"));
  CHECK_THROWS_WITH(stream.h(2), ContainsSubstring("layer must be in [0, 2)"));
  CHECK_THROWS_WITH(model->stream(model->initial_state(2)), ContainsSubstring("HMLSTM::stream"));
}

TEST_CASE("a stream reads parameters that are not contiguous as forward does") {
  auto model = random_stack(HMLSTMOptions(3, {5, 4, 6}));
  model->to(torch::kFloat64);
  {
    const torch::NoGradGuard no_grad;
    // The same values with other strides: transposed matrices, every second value of a longer vector.
    for (auto& p : model->parameters()) {
      p.set_data(p.dim() == 2 ? p.t().contiguous().t() : torch::stack({p, -p}, 1).select(1, 0));
      REQUIRE_FALSE(p.is_contiguous());
    }
  }
  auto start = random_state(model);
  for (auto* list : {&start.h, &start.c}) {
    for (auto& x : *list) x = torch::stack({x, x + 1}, 2).select(2, 0);
  }
  const auto input = torch::randn({30, 1, 3}, torch::kFloat64);
  const auto expected = model->forward(input, start);
  auto stream = model->stream(start);
  for (int64_t t = 0; t < 30; ++t) {
    model->step(input[t][0], stream);
    REQUIRE(same(stream.z(), expected.z[t][0]));
    for (int64_t l = 0; l < 3; ++l) REQUIRE(distance(stream.h(l), expected.h[l][t][0]) < 1e-10);
  }
}

TEST_CASE("a stream refuses boundaries that are neither 0 nor 1") {
  const HMLSTM model(3, std::vector<int64_t>{5, 4});
  auto stream = model->stream();
  HMLSTMStepCall call;
  for (const float bad : {0.5F, 2.0F, -1.0F, std::nanf("")}) {
    call.boundaries = torch::full({1}, bad);
    CHECK_THROWS_WITH(model->step(torch::zeros({3}), stream, call), ContainsSubstring("boundaries must be 0 or 1"));
    auto state = model->initial_state(1);
    state.z.fill_(bad);
    CHECK_THROWS_WITH(model->stream(state), ContainsSubstring("z0 must be 0 or 1"));
  }
  const HMLSTM soft(HMLSTMOptions(3, {5, 4}).boundary(BoundaryMode::Soft));
  auto state = soft->initial_state(1);
  state.z.fill_(0.5);
  CHECK_NOTHROW(soft->stream(state));
}

TEST_CASE("a stream of step boundaries does not read noise, and belongs to its module") {
  auto model = random_stack(HMLSTMOptions(3, {5, 4}));
  auto plain = model->stream(), noisy = model->stream();
  HMLSTMStepCall call;
  for (int64_t t = 0; t < 30; ++t) {
    const auto x = torch::randn({3});
    call.noise = torch::full({1}, t % 2 ? 0.0 : 1.0);
    model->step(x, plain);
    model->step(x, noisy, call);
    REQUIRE(same(plain.z(), noisy.z()));
  }
  auto other = random_stack(HMLSTMOptions(3, {5, 4}));
  CHECK_THROWS_WITH(other->step(torch::randn({3}), plain), ContainsSubstring("made by another module"));
}
