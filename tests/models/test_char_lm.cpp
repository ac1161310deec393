#include <torch/serialize.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/ops/cross_entropy.h"
#include "support/gradient_check.h"
#include "support/small_model.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

using Shapes = std::map<std::string, std::vector<int64_t>>;

Shapes shapes(const CharLM& model) {
  Shapes out;
  for (const auto& p : model->named_parameters()) out[p.key()] = p.value().sizes().vec();
  return out;
}

}  // namespace

TEST_CASE("names and shapes of the parameters are the checkpoint's") {
  const bool norm = GENERATE(true, false);
  const CharLM model(small_model().layer_norm(norm));
  Shapes expected = {{"embedding.weight", {7, 5}},   {"output.gates", {3, 13}},      {"output.embedding.0", {8, 6}},
                     {"output.embedding.1", {8, 4}}, {"output.embedding.2", {8, 3}}, {"output.softmax.weight", {7, 8}},
                     {"output.softmax.bias", {7}}};
  // layer 0: d = 6, R = 25; layer 1: d = 4, R = 17; layer 2, the top: d = 3, R = 12
  expected.insert({{"hm_lstm.layers.0.recurrent", {25, 6}},
                   {"hm_lstm.layers.0.bottom_up", {25, 5}},
                   {"hm_lstm.layers.0.top_down", {25, 4}},
                   {"hm_lstm.layers.0.bias", {25}},
                   {"hm_lstm.layers.1.recurrent", {17, 4}},
                   {"hm_lstm.layers.1.bottom_up", {17, 6}},
                   {"hm_lstm.layers.1.top_down", {17, 3}},
                   {"hm_lstm.layers.1.bias", {17}},
                   {"hm_lstm.layers.2.recurrent", {12, 3}},
                   {"hm_lstm.layers.2.bottom_up", {12, 4}},
                   {"hm_lstm.layers.2.bias", {12}}});
  if (norm) {
    const std::vector<int64_t> d = {6, 4, 3};
    for (size_t l = 0; l < 3; ++l) {
      const auto p = "hm_lstm.layers." + std::to_string(l) + ".";
      for (const std::string end : {"weight", "bias"}) {
        expected[p + "recurrent_norm." + end] = {4 * d[l]};
        expected[p + "bottom_up_norm." + end] = {4 * d[l]};
        if (l < 2) expected[p + "top_down_norm." + end] = {4 * d[l]};
        expected[p + "cell_norm." + end] = {d[l]};
      }
    }
  }
  CHECK(shapes(model) == expected);
}

TEST_CASE("the control has a plain LSTM's parameters") {
  const CharLM model(small_model(Core::LSTM).layer_norm(false));
  CHECK(shapes(model) == Shapes{{"embedding.weight", {7, 5}},
                                {"lstm.layers.0.recurrent", {24, 6}},
                                {"lstm.layers.0.bottom_up", {24, 5}},
                                {"lstm.layers.0.bias", {24}},
                                {"lstm.layers.1.recurrent", {16, 4}},
                                {"lstm.layers.1.bottom_up", {16, 6}},
                                {"lstm.layers.1.bias", {16}},
                                {"lstm.layers.2.recurrent", {12, 3}},
                                {"lstm.layers.2.bottom_up", {12, 4}},
                                {"lstm.layers.2.bias", {12}},
                                {"output.gates", {3, 13}},
                                {"output.embedding.0", {8, 6}},
                                {"output.embedding.1", {8, 4}},
                                {"output.embedding.2", {8, 3}},
                                {"output.softmax.weight", {7, 8}},
                                {"output.softmax.bias", {7}}});
}

TEST_CASE("the embedding starts as N(0, 1)") {
  torch::manual_seed(19);
  const CharLM model(CharLMOptions(100).embedding_size(100).hidden_sizes({4}).output_embedding_size(4));
  CHECK(model->embedding->weight.mean().item<double>() == Approx(0).margin(0.03));
  CHECK(model->embedding->weight.std().item<double>() == Approx(1).epsilon(0.03));
  CHECK(model->embedding->weight.abs().max().item<double>() > 3);
}

TEST_CASE("logits, boundaries and state of either core") {
  torch::manual_seed(20);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  INFO(to_string(core));
  CharLM model(small_model(core));
  const auto index = random_symbols(9, 4);
  const auto out = model->forward(index);
  CHECK(out.logits.sizes() == torch::IntArrayRef({9, 4, 7}));
  CHECK(out.core.z.sizes() == torch::IntArrayRef({9, 4, core == Core::HMLSTM ? 2 : 0}));
  CHECK(out.core.h[2].sizes() == torch::IntArrayRef({9, 4, 3}));
  const auto total = torch::softmax(out.logits, -1).sum(-1);
  CHECK(distance(total, torch::ones({9, 4})) < 1e-5);
  // The same call gives the same bits, and the state is carried over.
  CHECK(same(model->forward(index).logits, out.logits));
  const auto first = model->forward(index.slice(0, 0, 4));
  const auto second = model->forward(index.slice(0, 4), first.core.state.detach());
  CHECK(distance(torch::cat({first.logits, second.logits}), out.logits) < 1e-6);
  CHECK(distance(model->forward(index.slice(0, 4)).logits, second.logits) > 1e-4);
  CHECK(model->initial_state(4).batch() == 4);
  // Causal: the last symbol does not affect earlier logits.
  auto changed = index.clone();
  changed[8] = (changed[8] + 1) % 7;
  const auto other = model->forward(changed).logits;
  CHECK(distance(other.slice(0, 0, 8), out.logits.slice(0, 0, 8)) < 1e-6);
  CHECK(distance(other[8], out.logits[8]) > 1e-5);
  // Every parameter gets a gradient from the loss (one step with z in each layer is enough for the detector).
  cross_entropy(out.logits, random_symbols(9, 4)).backward();
  for (const auto& p : model->named_parameters()) {
    INFO(p.key());
    CHECK((p.value().grad().defined() && p.value().grad().isfinite().all().item<bool>()));
    CHECK(p.value().grad().abs().max().item<double>() > 0);
  }
}

TEST_CASE("every derivative of the model's loss, numerically") {
  torch::manual_seed(21);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const bool norm = core == Core::HMLSTM;  // the layers' tests have all four combinations
  INFO(to_string(core) << ", layer norm " << norm);
  CharLM model(CharLMOptions(4)
                   .embedding_size(3)
                   .hidden_sizes({4, 3})
                   .output_embedding_size(5)
                   .core(core)
                   .layer_norm(norm)
                   .boundary(BoundaryMode::Soft)
                   .slope(0.5));
  model->to(torch::kFloat64);
  NamedTensors leaves;
  {
    torch::NoGradGuard no_grad;
    for (auto& p : model->named_parameters()) {
      p.value().add_(0.3 * torch::randn_like(p.value()));
      leaves.emplace_back(p.key(), p.value());
    }
  }
  const auto index = torch::tensor({{0, 2}, {3, 1}, {2, 2}}, torch::kInt64);
  const auto target = torch::tensor({{3, 1}, {2, 2}, {0, 1}}, torch::kInt64);
  check_gradients([&] { return cross_entropy(model->forward(index).logits, target); }, leaves);
}

TEST_CASE("cross_entropy is the mean over targets, or over those of weight 1") {
  // Two symbols with logits (0, ln 3) have probabilities 1/4 and 3/4.
  const double third = std::log(3.0);
  const auto logits = doubles({0, third, third, 0, 0, 0}, {3, 1, 2});
  const auto target = torch::tensor({{1}, {1}, {0}}, torch::kInt64);
  const double a = std::log(4.0 / 3), b = std::log(4.0), c = std::log(2.0);
  CHECK(cross_entropy(logits, target).item<double>() == Approx((a + b + c) / 3).margin(1e-14));
  CHECK(cross_entropy(logits, target, doubles({1, 0, 1}, {3, 1})).item<double>() == Approx((a + c) / 2).margin(1e-14));
  CHECK(cross_entropy(logits, target, doubles({0, 1, 0}, {3, 1})).item<double>() == Approx(b).margin(1e-14));
  // A target with weight 0 has no gradient.
  const auto x = logits.clone().requires_grad_();
  cross_entropy(x, target, doubles({1, 0, 1}, {3, 1})).backward();
  CHECK(x.grad()[1].abs().max().item<double>() == 0);
  CHECK(x.grad()[0].abs().max().item<double>() > 0);

  CHECK_THROWS_WITH(cross_entropy(logits, target.t()), ContainsSubstring("target"));
  CHECK_THROWS_WITH(cross_entropy(logits, target, torch::ones({1})), ContainsSubstring("weight"));
}

TEST_CASE("dropout acts in training alone, on h^e alone") {
  torch::manual_seed(22);
  CharLM model(small_model().dropout(0.5));
  const auto index = random_symbols(6, 4);
  model->eval();
  const auto calm = model->forward(index);
  CHECK(same(model->forward(index).logits, calm.logits));
  model->train();
  const auto a = model->forward(index), b = model->forward(index);
  CHECK_FALSE(same(a.logits, b.logits));
  CHECK(same(a.core.h[2], calm.core.h[2]));
  CHECK_THROWS_WITH(CharLM(small_model().dropout(1.5)), ContainsSubstring("dropout"));
}

TEST_CASE("the slope of either core") {
  CharLM model(small_model().slope(1.5));
  CHECK(model->slope() == 1.5);
  model->set_slope(2.5);
  CHECK(model->slope() == 2.5);
  CHECK(model->hm_lstm->slope() == 2.5);
  CHECK_THROWS_WITH(model->set_slope(0), ContainsSubstring("slope"));
  CharLM control(small_model(Core::LSTM));
  control->set_slope(3);
  CHECK(control->slope() == 1);
}

TEST_CASE("a model begins with another's weights, and new symbols keep rows of their own") {
  torch::manual_seed(5);
  const auto options = [](int64_t symbols) {
    return CharLMOptions(symbols).embedding_size(4).hidden_sizes({6, 5}).output_embedding_size(7);
  };
  CharLM source(options(5)), model(options(8)), smaller(options(3)), other(options(5).embedding_size(3));
  source->set_slope(2);
  const auto embedding = model->embedding->weight.clone();
  init_from(model, source);
  CHECK(torch::equal(model->embedding->weight.narrow(0, 0, 5), source->embedding->weight));
  CHECK(torch::equal(model->embedding->weight.narrow(0, 5, 3), embedding.narrow(0, 5, 3)));
  CHECK(model->slope() == 2);
  // The logits of old symbols are unchanged.
  const auto index = torch::randint(5, {6, 2}, torch::kInt64);
  CHECK(torch::allclose(model->forward(index).logits.narrow(2, 0, 5), source->forward(index).logits, 1e-5, 1e-6));
  CHECK_THROWS_WITH(init_from(smaller, source), ContainsSubstring("embedding.weight"));
  CHECK_THROWS_WITH(init_from(other, source), ContainsSubstring("embedding.weight"));
}

TEST_CASE("core names") {
  CHECK(parse_core("hm_lstm") == Core::HMLSTM);
  CHECK(parse_core("lstm") == Core::LSTM);
  CHECK(to_string(Core::HMLSTM) == "hm_lstm");
  CHECK(to_string(Core::LSTM) == "lstm");
  CHECK_THROWS_AS(parse_core("gru"), Error);
  CHECK_THROWS_WITH(parse_core("gru"), ContainsSubstring("'gru'"));
}

TEST_CASE("a model clones, saves, loads and prints") {
  torch::manual_seed(23);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  CharLM model(small_model(core).slope(1.25));
  const auto index = random_symbols(6, 3);
  const auto expected = model->forward(index).logits;
  const auto copy = std::dynamic_pointer_cast<CharLMImpl>(model->clone());
  CHECK(same(copy->forward(index).logits, expected));
  // Training the clone does not affect the original.
  {
    torch::NoGradGuard no_grad;
    for (auto& p : copy->parameters()) p.zero_();
  }
  CHECK(copy->forward(index).logits.abs().max().item<double>() == 0);
  CHECK(same(model->forward(index).logits, expected));

  std::stringstream file;
  torch::save(model, file);
  CharLM loaded(small_model(core));
  torch::load(loaded, file);
  CHECK(same(loaded->forward(index).logits, expected));
  CHECK(loaded->slope() == model->slope());
  std::ostringstream text;
  text << model;
  CHECK(text.str().rfind("hmrnn::CharLM(vocabulary_size=7, core=" + to_string(core) + ")", 0) == 0);
}

TEST_CASE("a model names a bad argument") {
  CHECK_THROWS_AS(CharLM(CharLMOptions(0)), c10::Error);
  CHECK_THROWS_WITH(CharLM(CharLMOptions(0)), ContainsSubstring("vocabulary_size"));
  CHECK_THROWS_WITH(CharLM(small_model().embedding_size(0)), ContainsSubstring("embedding_size"));
  CHECK_THROWS_WITH(CharLM(small_model().hidden_sizes({})), ContainsSubstring("hidden_sizes"));
  CHECK_THROWS_WITH(CharLM(small_model().output_embedding_size(0)), ContainsSubstring("embedding_size"));
  CharLM model(small_model());
  CHECK_THROWS_WITH(model->forward(torch::zeros({3, 2})), ContainsSubstring("index"));
  CHECK_THROWS_AS(model->forward(torch::full({3, 2}, 7, torch::kInt64)), c10::Error);
}
