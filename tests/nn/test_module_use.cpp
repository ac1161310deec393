// Uses of the modules: in containers, converted, serialised, without gradients, by several threads.
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <sstream>
#include <thread>
#include <type_traits>

#include "catch.h"
#include "hmrnn/hmrnn.h"
#include "support/small_model.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

const std::vector<int64_t> kTwoLayers = {4, 3};

CharLMOptions two_layer_model(Core core = Core::HMLSTM) {
  return CharLMOptions(7).embedding_size(3).hidden_sizes(kTwoLayers).output_embedding_size(5).core(core);
}

std::vector<std::string> names(const torch::nn::Module& module) {
  std::vector<std::string> out;
  for (const auto& item : module.named_parameters()) out.push_back(item.key());
  return out;
}

bool holds(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

}  // namespace

TEST_CASE("states, outputs and calls are plain structs") {
  STATIC_REQUIRE(std::is_aggregate_v<HMLSTMState>);
  STATIC_REQUIRE(std::is_aggregate_v<HMLSTMOutput>);
  STATIC_REQUIRE(std::is_aggregate_v<HMLSTMCall>);
  STATIC_REQUIRE(std::is_aggregate_v<HMLSTMCellState>);
  STATIC_REQUIRE(std::is_aggregate_v<CharLMOutput>);
  const auto [h, c, z] = HMLSTM(2, kTwoLayers)->initial_state(6);
  CHECK(h[1].sizes() == torch::IntArrayRef({6, 3}));
  CHECK(c[0].sizes() == torch::IntArrayRef({6, 4}));
  CHECK(z.sizes() == torch::IntArrayRef({6, 1}));
}

TEST_CASE("modules of a ModuleList are registered, found again and trained") {
  torch::manual_seed(31);
  torch::nn::ModuleList list(HMLSTM(2, kTwoLayers), StackedLSTM(StackedLSTMOptions(4, {3})),
                             OutputModule(OutputModuleOptions({4, 3}, 5)));
  const auto all = names(*list);
  CHECK(holds(all, "0.layers.0.recurrent"));
  CHECK(holds(all, "1.layers.0.bottom_up"));
  CHECK(holds(all, "2.embedding.1"));
  const auto below = list->ptr(0)->as<HMLSTM>()->forward(torch::randn({5, 2, 2}));
  const auto above = list->ptr(1)->as<StackedLSTM>()->forward(below.h[0]);
  const auto out = list->ptr(2)->as<OutputModule>()->forward({below.h[0], above.h[0]});
  out.square().sum().backward();
  CHECK(out.sizes() == torch::IntArrayRef({5, 2, 5}));
  for (const auto* name : {"0.layers.0.recurrent", "1.layers.0.bottom_up", "2.embedding.1"})
    CHECK(list->named_parameters()[name].grad().abs().max().item<double>() > 0);
}

TEST_CASE("every module is the last of a Sequential, with the defaults of its forward") {
  torch::manual_seed(32);
  const auto input = torch::randn({5, 2, 3});
  torch::nn::Linear first(3, 2);
  HMLSTM core(2, kTwoLayers);
  torch::nn::Sequential to_core(first, core);
  CHECK(same(to_core->forward<HMLSTMOutput>(input).h[1], core->forward(first->forward(input)).h[1]));
  StackedLSTM control(StackedLSTMOptions(2, kTwoLayers));
  torch::nn::Sequential to_control(first, control);
  CHECK(same(to_control->forward<HMLSTMOutput>(input).h[1], control->forward(first->forward(input)).h[1]));
  // With explicit arguments instead of the defaults.
  const auto state = core->forward(first->forward(input)).state;
  torch::nn::Sequential alone(core);
  CHECK(same(alone->forward<HMLSTMOutput>(first->forward(input), std::make_optional(state)).h[1],
             core->forward(first->forward(input), state).h[1]));

  CharLM model(two_layer_model());
  torch::nn::Sequential whole(model);
  const auto index = random_symbols(4, 2);
  CHECK(same(whole->forward<CharLMOutput>(index).logits, model->forward(index).logits));
  OutputModule output(OutputModuleOptions(kTwoLayers, 5));
  torch::nn::Sequential last(output);
  const auto h = core->forward(first->forward(input)).h;
  CHECK(same(last->forward(h), output->forward(h)));
}

TEST_CASE("a model moves between dtypes and back, buffers and state as well") {
  torch::manual_seed(33);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  CharLM model(two_layer_model(core));
  const auto index = random_symbols(5, 2);
  const auto before = model->forward(index).logits;
  model->to(torch::kCPU, torch::kFloat64);
  for (const auto& p : model->parameters()) CHECK(p.scalar_type() == torch::kFloat64);
  for (const auto& b : model->buffers()) CHECK(b.scalar_type() == torch::kFloat64);
  const auto wide = model->forward(index);
  CHECK(wide.logits.scalar_type() == torch::kFloat64);
  CHECK(wide.core.state.c[0].scalar_type() == torch::kFloat64);
  CHECK(model->initial_state(2).h[1].scalar_type() == torch::kFloat64);
  CHECK(distance(wide.logits.to(torch::kFloat32), before) < 1e-5);
  model->to(torch::kFloat32);
  CHECK(same(model->forward(index).logits, before));
  const auto there = model->initial_state(2).to(torch::kMeta);
  CHECK(there.h[0].is_meta());
  CHECK(there.c[1].is_meta());
  CHECK(there.z.is_meta());
}

TEST_CASE("clone(device) trains apart from its original") {
  torch::manual_seed(34);
  CharLM model(two_layer_model());
  const auto copy = std::dynamic_pointer_cast<CharLMImpl>(model->clone(torch::kCPU));
  REQUIRE(copy);
  CHECK(names(*copy) == names(*model));
  const auto index = random_symbols(5, 2);
  copy->forward(index).logits.square().sum().backward();
  CHECK(copy->hm_lstm->layer_parameters()[0].recurrent.grad().defined());
  CHECK_FALSE(model->hm_lstm->layer_parameters()[0].recurrent.grad().defined());
  CHECK_FALSE(copy->embedding->weight.is_alias_of(model->embedding->weight));
}

TEST_CASE("torch::save and safetensors bring back the same model") {
  torch::manual_seed(35);
  CharLM model(two_layer_model());
  model->set_slope(1.75);
  const auto index = random_symbols(6, 2);
  const auto expected = model->forward(index).logits;

  std::stringstream file;
  torch::save(model, file);
  CharLM by_torch(two_layer_model());
  CHECK_FALSE(same(by_torch->forward(index).logits, expected));
  torch::load(by_torch, file);
  CHECK(same(by_torch->forward(index).logits, expected));
  CHECK(by_torch->slope() == 1.75);

  CharLM by_safetensors(two_layer_model());
  unpack_module(*by_safetensors, pack_module(*model), "memory");
  CHECK(same(by_safetensors->forward(index).logits, expected));
  CHECK(by_safetensors->slope() == 1.75);

  // A container of modules, as applications save it.
  torch::nn::Sequential sequential(torch::nn::Linear(3, 2), HMLSTM(2, kTwoLayers));
  torch::nn::Sequential other(torch::nn::Linear(3, 2), HMLSTM(2, kTwoLayers));
  std::stringstream second;
  torch::save(sequential, second);
  torch::load(other, second);
  const auto input = torch::randn({4, 2, 3});
  CHECK(same(other->forward<HMLSTMOutput>(input).h[1], sequential->forward<HMLSTMOutput>(input).h[1]));
}

TEST_CASE("eval() and NoGradGuard: dropout off, no graph, the same values") {
  torch::manual_seed(36);
  CharLM model(two_layer_model().dropout(0.5));
  const auto index = random_symbols(6, 3);
  CHECK(model->is_training());
  model->eval();
  for (const auto& module : model->modules()) CHECK_FALSE(module->is_training());
  const auto with_graph = model->forward(index);
  CHECK(with_graph.logits.requires_grad());
  CHECK(with_graph.core.state.h[0].requires_grad());
  const torch::NoGradGuard no_grad;
  const auto without = model->forward(index);
  CHECK_FALSE(without.logits.requires_grad());
  CHECK_FALSE(without.core.h[0].requires_grad());
  CHECK_FALSE(without.core.state.c[1].requires_grad());
  CHECK(same(without.logits, with_graph.logits));
  model->train();
  CHECK_FALSE(same(model->forward(index).logits, without.logits));
}

TEST_CASE("several threads infer with one module, each with a state of its own") {
  torch::manual_seed(37);
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  CharLM model(two_layer_model(core));
  model->eval();
  constexpr int kThreads = 4, kWindows = 20;
  std::vector<torch::Tensor> texts, expected(kThreads), found(kThreads);
  for (int i = 0; i < kThreads; ++i) texts.push_back(random_symbols(kWindows * 5, 1));
  const auto read = [&](const torch::Tensor& text) {
    const torch::NoGradGuard no_grad;
    std::optional<HMLSTMState> state;
    std::vector<torch::Tensor> logits;
    for (const auto& window : text.split(5)) {
      auto out = model->forward(window, state);
      logits.push_back(out.logits);
      state = out.core.state;
    }
    return torch::cat(logits);
  };
  for (int i = 0; i < kThreads; ++i) expected[i] = read(texts[i]);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back([&, i] { found[i] = read(texts[i]); });
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) CHECK(distance(found[i], expected[i]) < 1e-6);
  CHECK(distance(expected[0], expected[1]) > 1e-3);
}

TEST_CASE("several streams of one model run side by side") {
  torch::manual_seed(38);
  CharLM model(two_layer_model());
  model->eval();
  constexpr int kThreads = 3;
  const auto text = random_symbols(30, kThreads);
  const auto expected = model->forward(text).logits[-1];
  std::vector<torch::Tensor> found(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      auto stream = model->stream();
      for (int64_t t = 0; t < text.size(0); ++t) found[i] = model->step(text[t][i].item<int64_t>(), stream);
    });
  }
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < kThreads; ++i) CHECK(distance(found[i], expected[i]) < 1e-5);
}

TEST_CASE("an argument on another device is named") {
  HMLSTM model(2, kTwoLayers);
  const auto input = torch::zeros({4, 3, 2});
  const auto away = [](const torch::Tensor& x) { return x.to(torch::kMeta); };
  CHECK_THROWS_WITH(model->forward(away(input)), ContainsSubstring("HMLSTM: input must be on cpu"));
  auto state = model->initial_state(3);
  state.c[1] = away(state.c[1]);
  CHECK_THROWS_WITH(model->forward(input, state), ContainsSubstring("HMLSTM: state.c must be on cpu"));
  HMLSTMCall call;
  call.lengths = away(torch::full({3}, 2, torch::kInt64));
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("HMLSTM: lengths must be on cpu"));
  call = {};
  call.boundaries = away(torch::zeros({4, 3, 1}));
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("HMLSTM: boundaries must be on cpu"));
  StackedLSTM control(StackedLSTMOptions(2, kTwoLayers));
  CHECK_THROWS_WITH(control->forward(away(input)), ContainsSubstring("StackedLSTM: input must be on cpu"));
  CharLM lm(two_layer_model());
  CHECK_THROWS_WITH(lm->forward(away(random_symbols(3, 2))), ContainsSubstring("index must be on cpu"));

  HMLSTMCell cell(HMLSTMCellOptions(2, 3));
  CHECK_THROWS_WITH(cell->forward(away(torch::zeros({5, 2})), torch::ones({5}), cell->initial_state(5)),
                    ContainsSubstring("HMLSTMCell: below must be on cpu"));
  OutputModule output(OutputModuleOptions(kTwoLayers, 5));
  const auto h = model->forward(input).h;
  CHECK_THROWS_WITH(output->forward({h[0], away(h[1])}), ContainsSubstring("h[1]"));
  CHECK_THROWS_WITH(output->forward(h, away(torch::zeros({2, 4, 3}, torch::kInt32))),
                    ContainsSubstring("state_index must be on cpu"));
}

TEST_CASE("what the operators' plain functions are given is checked as well") {
  const auto h = std::vector<torch::Tensor>{torch::zeros({4, 3, 2})};
  CHECK_THROWS_WITH(reference_gated_output(h, torch::zeros({1, 3}), {torch::zeros({5, 2})}),
                    ContainsSubstring("gates"));
  CHECK_THROWS_WITH(reference_gated_output(h, torch::zeros({1, 2}), {torch::zeros({5, 3})}),
                    ContainsSubstring("embedding[0]"));
  CHECK_THROWS_WITH(hard_sigmoid(torch::zeros({3}, torch::kInt64), torch::tensor(1.0)), ContainsSubstring("pre"));
  CHECK_THROWS_WITH(hard_sigmoid(torch::zeros({3}), torch::ones({2})), ContainsSubstring("slope"));
}
