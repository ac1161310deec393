#include "catch.h"
#include "hmrnn/nn/hm_lstm_state.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("the zero state has a row for each sequence, and the requested dtype") {
  const auto state = HMLSTMState::zeros(3, {4, 2}, 1, torch::TensorOptions(torch::kFloat64));
  REQUIRE(state.h.size() == 2);
  REQUIRE(state.c.size() == 2);
  for (const auto* part : {&state.h, &state.c}) {
    CHECK(same((*part)[0], torch::zeros({3, 4}, torch::kFloat64)));
    CHECK(same((*part)[1], torch::zeros({3, 2}, torch::kFloat64)));
  }
  CHECK(same(state.z, torch::zeros({3, 1}, torch::kFloat64)));
  CHECK(state.batch() == 3);
  // Layers do not share memory: filling one does not change the other.
  state.h[0].fill_(1);
  CHECK(state.c[0].sum().item<double>() == 0);
  CHECK(HMLSTMState::zeros(3, {4}, 0, {}).z.sizes() == torch::IntArrayRef({3, 0}));
}

TEST_CASE("a state that was never filled is not defined") {
  CHECK_FALSE(HMLSTMState().defined());
  CHECK(HMLSTMState::zeros(1, {1}, 0, {}).defined());
}

TEST_CASE("detach keeps the values and cuts the graph of every part") {
  const auto leaf = torch::ones({2, 2}, torch::TensorOptions().requires_grad(true));
  HMLSTMState state;
  state.h = {leaf * 2, leaf * 3};
  state.c = {leaf * 4, leaf * 5};
  state.z = leaf.select(1, 0).unsqueeze(1) * 6;
  const auto cut = state.detach();
  for (size_t l = 0; l < 2; ++l) {
    CHECK(same(cut.h[l], state.h[l].detach()));
    CHECK(same(cut.c[l], state.c[l].detach()));
    CHECK_FALSE(cut.h[l].requires_grad());
    CHECK_FALSE(cut.c[l].requires_grad());
  }
  CHECK(same(cut.z, state.z.detach()));
  CHECK_FALSE(cut.z.requires_grad());
  CHECK(state.h[0].requires_grad());
}

TEST_CASE("to moves every part") {
  const auto there = HMLSTMState::zeros(2, {3, 2}, 1, {}).to(torch::kMeta);
  CHECK(there.h[1].is_meta());
  CHECK(there.c[0].is_meta());
  CHECK(there.z.is_meta());
  CHECK(there.c[1].sizes() == torch::IntArrayRef({2, 2}));
}
