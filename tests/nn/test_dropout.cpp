// Regularisers of a whole window, of the layers and of the models.
#include <torch/types.h>

#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/nn/dropout.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/stacked_lstm.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/ops/gated_output.h"
#include "support/small_model.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("a mask has zeros at its rate, and a mean of one") {
  torch::manual_seed(1);
  const auto mask = draw_mask({200, 500}, 0.3, torch::kFloat64);
  const auto kept = mask.gt(0);
  CHECK(distance(mask.masked_select(kept), torch::full({kept.sum().item<int64_t>()}, 1 / 0.7, torch::kFloat64)) <
        1e-15);
  // 100,000 draws: standard deviation 0.0014
  CHECK(kept.to(torch::kFloat64).mean().item<double>() == Approx(0.7).margin(0.006));
  CHECK(mask.mean().item<double>() == Approx(1).margin(0.009));
}

TEST_CASE("weight-drop leaves the boundary's row alone, and dropped weights have no gradient") {
  torch::manual_seed(2);
  const bool top = GENERATE(false, true);
  const int64_t d = 20, gates = 4 * d;
  const auto u = torch::randn({top ? gates : gates + 1, d}, torch::kFloat64).requires_grad_();
  const auto dropped = drop_gate_weights(u, 0.5);
  REQUIRE(dropped.sizes() == u.sizes());
  const auto ratio = (dropped / u).detach().narrow(0, 0, gates);
  CHECK(torch::logical_or(ratio.eq(0), (ratio - 2).abs().lt(1e-12)).all().item<bool>());
  CHECK(ratio.mean().item<double>() == Approx(1).margin(0.1));  // 1600 draws: 4 standard deviations of 0.025
  if (!top) CHECK(same(dropped.detach()[gates], u.detach()[gates]));
  dropped.sum().backward();
  CHECK(distance(u.grad().narrow(0, 0, gates), ratio) < 1e-12);
  if (!top) CHECK(u.grad()[gates].eq(1).all().item<bool>());
}

TEST_CASE("embedding dropout takes whole symbols") {
  torch::manual_seed(3);
  const auto table = torch::rand({400, 3}) + 1;
  const auto ratio = drop_symbols(table, 0.25) / table;
  CHECK(distance(ratio, ratio.select(1, 0).unsqueeze(1).expand({400, 3}).contiguous()) < 1e-6);
  CHECK(ratio.select(1, 0).eq(0).sum().item<int64_t>() == Approx(100).margin(40));  // 4.6 deviations
}

TEST_CASE("a locked mask takes its columns layer by layer") {
  const auto mask = torch::tensor({{0., 2., 2.}, {2., 0., 2.}});
  const auto out = apply_locked_mask({torch::ones({4, 2, 1}), torch::full({4, 2, 2}, 3.)}, mask);
  CHECK(same(out[0], torch::tensor({{0.}, {2.}}).expand({4, 2, 1}).contiguous()));
  CHECK(same(out[1], torch::tensor({{6., 6.}, {0., 6.}}).expand({4, 2, 2}).contiguous()));
}

TEST_CASE("HMLSTM in training computes with the weights and masks that it drew") {
  torch::manual_seed(4);
  HMLSTM model(HMLSTMOptions(2, {5, 3, 4}).weight_drop(0.4));
  const auto input = torch::randn({6, 3, 2});
  torch::manual_seed(40);
  const auto got = model->forward(input);
  torch::manual_seed(40);
  auto layers = model->layer_parameters();
  for (auto& layer : layers) layer.recurrent = drop_gate_weights(layer.recurrent, 0.4);
  WindowInput window;
  window.input = input;
  const auto start = model->initial_state(3);
  window.h0 = start.h, window.c0 = start.c, window.z0 = start.z;
  BoundaryRule rule;
  rule.slope = torch::ones({});
  const auto expected = hm_lstm(layers, window, rule);
  for (size_t l = 0; l < 3; ++l) CHECK(same(got.h[l], expected.h[l]));
  CHECK_FALSE(got.locked_mask.defined());
  CHECK_FALSE(same(model->forward(input).h[0], got.h[0]));

  model->eval();
  HMLSTM plain(HMLSTMOptions(2, {5, 3, 4}));
  plain->layers = model->layers;
  const auto calm = model->forward(input);
  for (size_t l = 0; l < 3; ++l) CHECK(same(calm.h[l], plain->forward(input).h[l]));
}

TEST_CASE("the locked mask is one a row, and the same for all steps") {
  torch::manual_seed(5);
  HMLSTM model(HMLSTMOptions(2, {5, 3, 4}).locked_dropout(0.5));
  const auto out = model->forward(torch::randn({6, 8, 2}));
  REQUIRE(out.locked_mask.sizes() == torch::IntArrayRef({8, 12}));
  CHECK(torch::logical_or(out.locked_mask.eq(0), out.locked_mask.eq(2)).all().item<bool>());
  CHECK(out.locked_mask.std(0).max().item<double>() > 0);  // rows differ
  int64_t column = 0;
  for (size_t l = 0; l < 3; ++l) {
    const auto d = out.h[l].size(2);
    CHECK(same(out.shown()[l], out.h[l] * out.locked_mask.narrow(1, column, d)));
    CHECK(same(out.state.h[l], out.h[l][5]));  // the carried state is not masked
    column += d;
  }
  model->eval();
  const auto calm = model->forward(torch::randn({6, 8, 2}));
  CHECK_FALSE(calm.locked_mask.defined());
  CHECK(same(calm.shown()[1], calm.h[1]));
}

TEST_CASE("the control's upper layers read under the mask") {
  torch::manual_seed(6);
  StackedLSTM model(StackedLSTMOptions(2, {5, 3}).locked_dropout(0.5));
  const auto input = torch::randn({6, 8, 2});
  const auto got = model->forward(input);
  StackedLSTM lower(StackedLSTMOptions(2, {5})), upper(StackedLSTMOptions(5, {3}));
  lower->layers = torch::nn::ModuleList(model->layers->ptr(0));
  upper->layers = torch::nn::ModuleList(model->layers->ptr(1));
  const auto first = lower->forward(input);
  CHECK(same(got.h[0], first.h[0]));
  CHECK(same(got.h[1], upper->forward(first.h[0] * got.locked_mask.narrow(1, 0, 5)).h[0]));
  CHECK_FALSE(same(got.h[1], upper->forward(first.h[0]).h[0]));

  StackedLSTM dropping(StackedLSTMOptions(2, {5, 3}).weight_drop(0.5));
  CHECK_FALSE(same(dropping->forward(input).h[1], dropping->forward(input).h[1]));
  dropping->eval();
  CHECK(same(dropping->forward(input).h[1], dropping->forward(input).h[1]));
}

TEST_CASE("a model's regularisers act in training alone, each on what it says") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  INFO(to_string(core));
  torch::manual_seed(7);
  CharLM plain(small_model(core));
  const auto index = torch::randint(7, {9, 4}, torch::kInt64);
  const auto expected = plain->forward(index);
  for (const auto& options : {small_model(core).locked_dropout(0.5), small_model(core).weight_drop(0.5),
                              small_model(core).embedding_dropout(0.5)}) {
    CharLM model(options);
    {
      torch::NoGradGuard no_grad;
      for (auto& p : model->named_parameters()) p.value().copy_(plain->named_parameters()[p.key()]);
    }
    model->eval();
    CHECK(same(model->forward(index).logits, expected.logits));
    model->train();
    const auto a = model->forward(index), b = model->forward(index);
    CHECK_FALSE(same(a.logits, b.logits));
    CHECK_FALSE(same(a.logits, expected.logits));
    cross_entropy(a.logits, index).backward();
    for (const auto& p : model->named_parameters()) {
      INFO(p.key());
      CHECK((p.value().grad().defined() && p.value().grad().isfinite().all().item<bool>()));
    }
  }
  // The output module reads the masked h, bit for bit.
  CharLM locked(small_model(core).locked_dropout(0.5));
  const auto out = locked->forward(index);
  const auto h_e = locked->output->forward(out.core.shown(), out.core.state_index);
  CHECK(same(out.logits, locked->output->softmax(h_e)));
  HandwritingModel writing(HandwritingOptions().hidden_sizes({6, 4}).output_embedding_size(5).locked_dropout(0.5));
  const auto ink = writing->forward(torch::randn({5, 3, 3}));
  CHECK(same(ink.raw, writing->mixture(writing->output->forward(ink.core.shown(), ink.core.state_index))));
}

TEST_CASE("a probability out of range is named, and one that is set is printed") {
  for (const double p : {-0.1, 1.0, 1.5}) {
    CHECK_THROWS_WITH(HMLSTM(HMLSTMOptions(2, {3}).locked_dropout(p)), ContainsSubstring("locked_dropout must be"));
    CHECK_THROWS_WITH(HMLSTM(HMLSTMOptions(2, {3}).weight_drop(p)), ContainsSubstring("weight_drop must be"));
    CHECK_THROWS_WITH(StackedLSTM(StackedLSTMOptions(2, {3}).locked_dropout(p)), ContainsSubstring("locked_dropout"));
    CHECK_THROWS_WITH(StackedLSTM(StackedLSTMOptions(2, {3}).weight_drop(p)), ContainsSubstring("weight_drop"));
    CHECK_THROWS_WITH(CharLM(small_model().embedding_dropout(p)), ContainsSubstring("embedding_dropout"));
  }
  std::ostringstream text;
  text << HMLSTM(HMLSTMOptions(2, {3, 4}).locked_dropout(0.25).weight_drop(0.5));
  CHECK_THAT(text.str(), ContainsSubstring("boundary=step, locked_dropout=0.25, weight_drop=0.5)"));
}
