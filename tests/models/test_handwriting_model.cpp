#include <map>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/data/ink_batches.h"
#include "hmrnn/error.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/models/ink_normalisation.h"
#include "support/gradient_check.h"
#include "support/small_ink.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// The summed log density of one sequence, alone and in one window.
torch::Tensor alone(HandwritingModel& model, const torch::Tensor& sequence) {
  const auto steps = sequence.size(0) - 1;
  const auto out = model->forward(sequence.narrow(0, 0, steps).unsqueeze(1));
  return mixture_log_density(read_mixture(out.raw), sequence.narrow(0, 1, steps).unsqueeze(1)).sum();
}

}  // namespace

TEST_CASE("handwriting: names and shapes of the parameters are the checkpoint's") {
  const HandwritingModel model(small_ink());
  std::map<std::string, std::vector<int64_t>> found;
  for (const auto& p : model->named_parameters()) found[p.key()] = p.value().sizes().vec();
  const std::map<std::string, std::vector<int64_t>> expected = {{"hm_lstm.layers.0.recurrent", {25, 6}},
                                                                {"hm_lstm.layers.0.bottom_up", {25, 3}},
                                                                {"hm_lstm.layers.0.top_down", {25, 5}},
                                                                {"hm_lstm.layers.0.bias", {25}},
                                                                {"hm_lstm.layers.1.recurrent", {21, 5}},
                                                                {"hm_lstm.layers.1.bottom_up", {21, 6}},
                                                                {"hm_lstm.layers.1.top_down", {21, 4}},
                                                                {"hm_lstm.layers.1.bias", {21}},
                                                                {"hm_lstm.layers.2.recurrent", {16, 4}},
                                                                {"hm_lstm.layers.2.bottom_up", {16, 5}},
                                                                {"hm_lstm.layers.2.bias", {16}},
                                                                {"output.gates", {3, 15}},
                                                                {"output.embedding.0", {7, 6}},
                                                                {"output.embedding.1", {7, 5}},
                                                                {"output.embedding.2", {7, 4}},
                                                                {"mixture.linear.weight", {19, 7}},
                                                                {"mixture.linear.bias", {19}}};
  CHECK(found == expected);
  const HandwritingModel control(small_ink(Core::LSTM));
  CHECK(control->named_parameters().contains("lstm.layers.0.recurrent"));
  CHECK_FALSE(control->named_parameters().contains("hm_lstm.layers.0.recurrent"));
  CHECK(HandwritingOptions().hidden_sizes() == std::vector<int64_t>{400, 400, 400});
  CHECK(HandwritingOptions().mixtures() == 20);
}

TEST_CASE("handwriting: a padded batch in windows scores what the sequences score alone") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const auto window = GENERATE(int64_t{0}, int64_t{4});
  torch::manual_seed(3);
  HandwritingModel model(small_ink(core));
  model->eval();
  const std::vector<int64_t> lengths = {2, 12, 7, 9, 5};
  const auto sequences = walks(lengths);
  double expected = 0;
  int64_t targets = 0;
  for (const auto& s : sequences) {
    expected += alone(model, s).item<double>();
    targets += s.size(0) - 1;
  }
  const InkBatches batches(sequences, 5, window, std::nullopt);
  HMLSTMState state;
  double total = 0;
  for (int64_t i = 0; i < batches.windows(); ++i) {
    const auto w = batches.window(0, i);
    if (w.first) state = model->initial_state(w.input.size(1));
    HMLSTMCall call;
    call.lengths = w.lengths;
    const auto out = model->forward(w.input, state, call);
    total -= handwriting_loss(out.raw, w.target, w.weight).item<double>() * static_cast<double>(w.count);
    state = out.core.state;
  }
  CHECK(batches.targets() == targets);
  CHECK(total == Approx(expected).epsilon(1e-5));
}

TEST_CASE("handwriting: padding changes no gradient") {
  torch::manual_seed(4);
  HandwritingModel model(small_ink());
  const auto sequences = walks({6, 13, 10});
  torch::Tensor sum;
  for (const auto& s : sequences) sum = sum.defined() ? sum + alone(model, s) : alone(model, s);
  const double targets = 5 + 12 + 9;
  (-sum / targets).backward();
  std::map<std::string, torch::Tensor> expected;
  for (auto& p : model->named_parameters()) expected[p.key()] = p.value().grad().clone();
  model->zero_grad();
  auto w = InkBatches(sequences, 3, 0, std::nullopt).window(0, 0);
  HMLSTMCall call;
  call.lengths = w.lengths;
  // The values in the padding must not matter.
  w.input.masked_fill_(w.weight.eq(0).unsqueeze(2), 3);
  handwriting_loss(model->forward(w.input, std::nullopt, call).raw, w.target, w.weight).backward();
  for (auto& p : model->named_parameters()) {
    INFO(p.key());
    CHECK(distance(p.value().grad(), expected[p.key()]) < 1e-5 * (1 + expected[p.key()].abs().max().item<double>()));
    CHECK(expected[p.key()].abs().max().item<double>() > 0);
  }
}

TEST_CASE("handwriting: gradients through the whole model, soft boundaries") {
  torch::manual_seed(5);
  HandwritingModel model(small_ink().boundary(BoundaryMode::Soft));
  model->to(torch::kFloat64);
  auto input = torch::randn({6, 2, 3}, torch::kFloat64).requires_grad_();
  auto target = torch::randn({6, 2, 3}, torch::kFloat64);
  target.select(2, 2).copy_(target.select(2, 2).gt(0));
  NamedTensors leaves = {{"input", input}};
  for (const auto& p : model->named_parameters()) leaves.emplace_back(p.key(), p.value());
  check_gradients([&] { return handwriting_loss(model->forward(input).raw, target); }, leaves, 1e-6);
}

TEST_CASE("handwriting: weights of the loss, and shapes that do not fit") {
  const auto raw = torch::randn({4, 2, 19}), target = torch::rand({4, 2, 3}).round();
  const auto each = mixture_log_density(read_mixture(raw), target).neg();
  auto weight = torch::zeros({4, 2});
  weight[1][0] = weight[3][1] = 1;
  CHECK(handwriting_loss(raw, target, weight).item<double>() ==
        Approx((each[1][0] + each[3][1]).item<double>() / 2).epsilon(1e-5));
  CHECK(handwriting_loss(raw, target).item<double>() == Approx(each.mean().item<double>()).epsilon(1e-5));
  CHECK_THROWS_AS(handwriting_loss(raw, target, torch::ones({4})), c10::Error);
  HandwritingModel model(small_ink());
  CHECK_THROWS_AS(model->forward(torch::zeros({4, 2, 2})), c10::Error);
}

TEST_CASE("handwriting: a model begins with another's weights") {
  torch::manual_seed(5);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  HandwritingModel source(small_ink(core)), model(small_ink(core)), wider(small_ink(core).mixtures(4));
  source->set_slope(2);
  const auto input = torch::randn({5, 2, 3});
  REQUIRE_FALSE(torch::equal(model->forward(input).raw, source->forward(input).raw));
  init_from(model, source);
  CHECK(torch::equal(model->forward(input).raw, source->forward(input).raw));
  CHECK(model->slope() == source->slope());
  CHECK_THROWS_WITH(init_from(wider, source), ContainsSubstring("mixture.linear"));
  HandwritingModel other(small_ink(core == Core::LSTM ? Core::HMLSTM : Core::LSTM));
  CHECK_THROWS_WITH(init_from(other, source), ContainsSubstring("the source has no "));
}

TEST_CASE("handwriting: a normalisation is read as it was described") {
  const InkNormalisation written{InkCoordinates::Absolute, {1.5, -0.1}, {3, 1e-7}};
  const auto read = parse_normalisation(describe_normalisation(written));
  CHECK(read.coordinates == written.coordinates);
  CHECK(read.mean == written.mean);
  CHECK(read.deviation == written.deviation);
  const std::string absolute = R"({"coordinates": "absolute", "mean": )";
  for (const std::string& bad :
       {absolute + "[0, 0]}", absolute + R"([0, 0], "deviation": [1, 0]})", absolute + R"([0], "deviation": [1, 1]})",
        absolute + R"([0, 1e999], "deviation": [1, 1]})", absolute + R"([1e300, 0], "deviation": [1, 1]})",
        absolute + R"([0, 0], "deviation": [1, 1e-300]})", std::string("[]"), std::string("{"),
        std::string(R"({"coordinates": "polar", "mean": [0, 0], "deviation": [1, 1]})")}) {
    INFO(bad);
    CHECK_THROWS_AS(parse_normalisation(bad), Error);
  }
}
