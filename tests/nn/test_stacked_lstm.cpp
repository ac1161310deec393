#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/stacked_lstm.h"
#include "support/gradient_check.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// Rows f, i, o, g (ours) to i, f, g, o (torch::nn::LSTM).
torch::Tensor to_torch_order(const torch::Tensor& x) {
  const auto parts = x.chunk(4, 0);
  return torch::cat({parts[1], parts[0], parts[3], parts[2]}, 0);
}

NamedTensors parameters_of(const torch::nn::Module& module) {
  NamedTensors out;
  for (const auto& p : module.named_parameters()) out.emplace_back(p.key(), p.value());
  return out;
}

}  // namespace

TEST_CASE("without layer norm it is torch::nn::LSTM: outputs, state and gradients") {
  torch::manual_seed(8);
  const int64_t T = 6, B = 3, E = 4, d = 5, L = 3;
  StackedLSTM ours(StackedLSTMOptions(E, {d, d, d}).layer_norm(false).forget_bias(0.5));
  torch::nn::LSTM theirs(torch::nn::LSTMOptions(E, d).num_layers(L));
  ours->to(torch::kFloat64);
  theirs->to(torch::kFloat64);
  auto their = theirs->named_parameters();
  {
    torch::NoGradGuard no_grad;
    for (int64_t l = 0; l < L; ++l) {
      const auto layer = ours->layers->ptr<HMLSTMCellImpl>(l);
      layer->bias.add_(torch::randn_like(layer->bias));
      const auto n = std::to_string(l);
      their["weight_ih_l" + n].copy_(to_torch_order(layer->bottom_up));
      their["weight_hh_l" + n].copy_(to_torch_order(layer->recurrent));
      their["bias_ih_l" + n].copy_(to_torch_order(layer->bias));
      their["bias_hh_l" + n].zero_();
    }
  }
  const auto input = torch::randn({T, B, E}, torch::kFloat64).requires_grad_();
  const auto h0 = torch::randn({L, B, d}, torch::kFloat64).requires_grad_();
  const auto c0 = torch::randn({L, B, d}, torch::kFloat64).requires_grad_();
  HMLSTMState state = ours->initial_state(B);
  for (int64_t l = 0; l < L; ++l) {
    state.h[l] = h0[l];
    state.c[l] = c0[l];
  }
  const auto a = ours->forward(input, state);
  const auto [top, last] = theirs->forward(input, std::make_tuple(h0, c0));
  const auto& [h_n, c_n] = last;
  CHECK(distance(a.h[2], top) < 1e-12);
  CHECK(distance(torch::stack(a.state.h), h_n) < 1e-12);
  CHECK(distance(torch::stack(a.state.c), c_n) < 1e-12);

  const auto weight = torch::randn_like(top);
  const auto loss = [&](const torch::Tensor& h, const torch::Tensor& c) {
    return (h * weight).sum() + c.square().sum();
  };
  const NamedTensors shared = {{"input", input}, {"h0", h0}, {"c0", c0}};
  const auto ga = autograd_gradients(loss(a.h[2], torch::stack(a.state.c)), shared);
  const auto gb = autograd_gradients(loss(top, c_n), shared);
  for (size_t k = 0; k < shared.size(); ++k) CHECK(distance(ga[k], gb[k]) < 1e-11);
  loss(a.h[2], torch::stack(a.state.c)).backward();
  loss(top, c_n).backward();
  for (int64_t l = 0; l < L; ++l) {
    const auto layer = ours->layers->ptr<HMLSTMCellImpl>(l);
    const auto n = std::to_string(l);
    CHECK(distance(to_torch_order(layer->bottom_up.grad()), their["weight_ih_l" + n].grad()) < 1e-11);
    CHECK(distance(to_torch_order(layer->recurrent.grad()), their["weight_hh_l" + n].grad()) < 1e-11);
    CHECK(distance(to_torch_order(layer->bias.grad()), their["bias_ih_l" + n].grad()) < 1e-11);
  }
}

TEST_CASE("with layer norm every derivative is right, numerically") {
  torch::manual_seed(9);
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 3}));
  lstm->to(torch::kFloat64);
  auto leaves = parameters_of(*lstm);
  {
    torch::NoGradGuard no_grad;
    for (auto& leaf : leaves) leaf.second.add_(0.3 * torch::randn_like(leaf.second));
  }
  const auto input = torch::randn({3, 2, 3}, torch::kFloat64).requires_grad_();
  leaves.emplace_back("input", input);
  const auto w = torch::randn({3, 2, 3}, torch::kFloat64);
  check_gradients(
      [&] {
        const auto out = lstm->forward(input);
        return (out.h[1] * w).sum() + out.state.c[0].sum() + out.h[0].square().sum();
      },
      leaves);
}

TEST_CASE("it returns what HMLSTM returns, with no boundaries") {
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 2}));
  const auto out = lstm->forward(torch::randn({5, 3, 3}));
  CHECK(out.h[0].sizes() == torch::IntArrayRef({5, 3, 4}));
  CHECK(out.h[1].sizes() == torch::IntArrayRef({5, 3, 2}));
  CHECK(out.z.sizes() == torch::IntArrayRef({5, 3, 0}));
  CHECK(out.state.z.sizes() == torch::IntArrayRef({3, 0}));
  CHECK(out.state.batch() == 3);
  // Every layer has a new state at every step.
  const auto steps = torch::arange(1, 6, torch::kInt32).reshape({1, 5, 1}).expand({2, 5, 3});
  CHECK(same(out.state_index, steps.contiguous()));
  CHECK(lstm->num_layers() == 2);
}

TEST_CASE("two windows of the control equal one, and lengths hold it still") {
  torch::manual_seed(10);
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 2}));
  const auto input = torch::randn({7, 3, 3});
  const auto whole = lstm->forward(input);
  const auto first = lstm->forward(input.slice(0, 0, 3));
  const auto second = lstm->forward(input.slice(0, 3), first.state.detach());
  for (int64_t l = 0; l < 2; ++l) {
    CHECK(same(torch::cat({first.h[l], second.h[l]}), whole.h[l]));
    CHECK(same(second.state.c[l], whole.state.c[l]));
    CHECK(same(second.state.h[l], whole.state.h[l]));
  }
  HMLSTMCall call;
  call.lengths = torch::tensor({3, 7, 1}, torch::kInt64);
  const auto padded = lstm->forward(input, std::nullopt, call);
  for (int64_t l = 0; l < 2; ++l) {
    CHECK(distance(padded.state.c[l][0], first.state.c[l][0]) < 1e-6);
    CHECK(distance(padded.state.h[l][0], first.state.h[l][0]) < 1e-6);
    CHECK(distance(padded.h[l].select(1, 1), whole.h[l].select(1, 1)) < 1e-5);
    CHECK(same(padded.h[l][6][2], padded.h[l][0][2]));
  }
}

TEST_CASE("an indexed table gives the control what the gathered sequence gives") {
  torch::manual_seed(11);
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 2}));
  const auto table = torch::randn({6, 3});
  const auto index = torch::randint(6, {5, 2}, torch::kInt64);
  const auto a = lstm->forward_indexed(table, index), b = lstm->forward(table.index({index}));
  CHECK(distance(a.h[1], b.h[1]) < 1e-6);
}

TEST_CASE("the control names a bad argument") {
  CHECK_THROWS_AS(StackedLSTM(StackedLSTMOptions(3, {})), c10::Error);
  CHECK_THROWS_WITH(StackedLSTM(StackedLSTMOptions(3, {})), ContainsSubstring("hidden_sizes"));
  CHECK_THROWS_WITH(StackedLSTM(StackedLSTMOptions(3, {4, 0})), ContainsSubstring("hidden_size"));
  CHECK_THROWS_WITH(StackedLSTM(StackedLSTMOptions(0, {4})), ContainsSubstring("input_size"));
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 2}));
  CHECK_THROWS_WITH(lstm->forward(torch::zeros({5, 3})), ContainsSubstring("input"));
  CHECK_THROWS_WITH(lstm->forward(torch::zeros({5, 2, 4})), ContainsSubstring("input"));
  CHECK_THROWS_WITH(lstm->forward(torch::zeros({5, 2, 3}, torch::kFloat64)), ContainsSubstring("input must be Float"));
  CHECK_THROWS_WITH(lstm->forward_indexed(torch::zeros({5, 3}), torch::zeros({4})), ContainsSubstring("index"));
  CHECK_THROWS_WITH(lstm->forward(torch::zeros({5, 2, 3}), lstm->initial_state(3)), ContainsSubstring("state.h"));
  CHECK_THROWS_WITH(lstm->forward(torch::zeros({5, 2, 3}), StackedLSTM(StackedLSTMOptions(3, {4}))->initial_state(2)),
                    ContainsSubstring("state must have 2 layers"));
}

TEST_CASE("the control clones and prints") {
  StackedLSTM lstm(StackedLSTMOptions(3, {4, 2}));
  const auto copy = std::dynamic_pointer_cast<StackedLSTMImpl>(lstm->clone());
  const auto input = torch::randn({5, 2, 3});
  CHECK(same(copy->forward(input).h[1], lstm->forward(input).h[1]));
  CHECK_FALSE(copy->parameters()[0].is_alias_of(lstm->parameters()[0]));
  std::ostringstream text;
  text << lstm;
  CHECK(text.str().rfind("hmrnn::StackedLSTM(input_size=3, hidden_sizes=[4, 2], layer_norm=true)", 0) == 0);
}
