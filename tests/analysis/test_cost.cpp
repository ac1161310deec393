#include <ATen/record_function.h>

#include <cstring>

#include "catch.h"
#include "hmrnn/analysis/cost.h"
#include "hmrnn/ops/reference.h"

// The counts are compared with those of real runs: in float64 every product is ATen's mm or addmm, and a RecordFunction
// callback gets the shapes of its operands. The gates are an exception: a function for rows computes their products,
// for the same states as W^e h in the forward pass, and in the backward pass for those of the gradient of W^e and for
// as many rows as e W has. So the callback adds them to these products.

namespace {

double counted_flops = 0;  // counted floating-point operations
constexpr int64_t kOutputEmbedding = 10;
int64_t gates = 0;               // of the output module; 0: none is counted
bool without_remainder = false;  // rounds output rows down to a multiple of 4: drops the boundary row of 4d + 1

std::unique_ptr<at::ObserverContext> see(const at::RecordFunction& function) {
  const bool mm = std::strcmp(function.name(), "aten::mm") == 0;
  const bool addmm = std::strncmp(function.name(), "aten::addmm", 11) == 0;
  if (!mm && !addmm) return nullptr;
  const auto inputs = function.inputs();
  const auto a = inputs[addmm ? 1 : 0].toTensor(), b = inputs[addmm ? 2 : 1].toTensor();
  const auto columns = without_remainder ? b.size(1) - b.size(1) % 4 : b.size(1);
  const auto count = [](int64_t rows, int64_t from, int64_t to) {
    return 2.0 * static_cast<double>(rows) * static_cast<double>(from) * static_cast<double>(to);
  };
  counted_flops += count(a.size(0), a.size(1), columns);
  const auto rows = a.size(0), inner = a.size(1);
  const auto hidden = [](int64_t d) { return d == 12 || d == 8 || d == 20; };             // sizes of the models below
  if (columns == kOutputEmbedding && hidden(inner)) counted_flops += count(rows, inner, gates);    // W^e h
  if (inner == kOutputEmbedding && hidden(columns)) counted_flops += count(rows, columns, gates);  // e W
  if (rows == kOutputEmbedding && hidden(columns)) counted_flops += count(inner, columns, gates);  // the gradient of W^e
  return nullptr;
}

/// Counts the floating-point operations of the products in `run`.
template <class F>
double instrumented(F run) {
  const torch::NoGradGuard no_grad;
  counted_flops = 0;
  const auto handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback(see).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  run();
  at::removeCallback(handle);
  return counted_flops;
}

hmrnn::CharLM counted_model(hmrnn::Core core) {
  torch::manual_seed(5);
  hmrnn::CharLM model(hmrnn::CharLMOptions(11)
                          .core(core)
                          .embedding_size(6)
                          .hidden_sizes({12, 8, 20})
                          .output_embedding_size(kOutputEmbedding));
  model->to(torch::kFloat64);
  model->eval();
  gates = 3;
  return model;
}

torch::Tensor random_boundaries(at::IntArrayRef shape, double rate) {
  return torch::rand(shape, torch::kFloat64).lt(rate).to(torch::kFloat64);
}

}  // namespace

TEST_CASE("the rows made are those that the operators multiply, whatever the rates") {
  const auto model = counted_model(hmrnn::Core::HMLSTM);
  const auto sizes = hmrnn::cost_sizes(model->options);
  const int64_t steps = 23, batch = 3;
  for (const double rate : {0.0, 0.1, 0.5, 1.0}) {
    auto state = model->initial_state(batch);
    state.z = random_boundaries({batch, 2}, 0.5);
    const auto index = torch::randint(11, {steps, batch});
    hmrnn::HMLSTMCall call;
    call.boundaries = random_boundaries({steps, batch, 2}, rate);
    const double found = instrumented([&] {
      auto m = model;
      m->forward(index, state, call);
    });
    const auto rows = hmrnn::rows_made(call.boundaries, state.z, 3, /*input_rows=*/11);
    CHECK(hmrnn::forward_flops(rows, sizes) == found);

    hmrnn::CostCounter counter(sizes, /*skips=*/true);
    counter.add(call.boundaries, state.z, 11);
    counter.add(call.boundaries, state.z, 11);
    CHECK(hmrnn::forward_flops(counter.made(), sizes) == 2 * found);
    const double dense = hmrnn::forward_flops(counter.dense(), sizes),
                 lstm = hmrnn::forward_flops(counter.lstm(), sizes);
    CHECK(lstm < dense);
    if (rate < 1) CHECK(2 * found < dense);
    if (rate == 0.1) CHECK(2 * found < lstm);
  }
}

TEST_CASE("rows made past the ends of sequences are those of the output alone") {
  torch::manual_seed(6);
  hmrnn::HandwritingModel model(
      hmrnn::HandwritingOptions().hidden_sizes({12, 8}).output_embedding_size(kOutputEmbedding).mixtures(2));
  model->to(torch::kFloat64);
  model->eval();
  gates = 2;
  const int64_t steps = 9, batch = 4;
  const auto state = model->initial_state(batch);
  hmrnn::HMLSTMCall call;
  call.boundaries = random_boundaries({steps, batch, 1}, 0.4);
  call.lengths = torch::tensor({int64_t{9}, int64_t{4}, int64_t{0}, int64_t{7}});
  const auto points = torch::randn({steps, batch, 3}, torch::kFloat64);
  hmrnn::HandwritingOutput out;
  const double found = instrumented([&] { out = model->forward(points, state, call); });
  const auto sizes = hmrnn::cost_sizes(model->options);
  // Here W x is computed at each step of a sequence.
  const auto rows = hmrnn::rows_made(out.core.z, state.z, 2, /*input_rows=*/20, call.lengths);
  CHECK(hmrnn::forward_flops(rows, sizes) == found);
  hmrnn::CostCounter counter(sizes, /*skips=*/true);
  counter.add(out.core.z, state.z, 20, call.lengths);
  CHECK(hmrnn::forward_flops(counter.made(), sizes) == found);
  CHECK(counter.dense().recurrent == std::vector<double>{20, 20});
}

TEST_CASE("a dense HM-LSTM costs what the paper's equations, written down, multiply") {
  const auto model = counted_model(hmrnn::Core::HMLSTM);
  auto sizes = hmrnn::cost_sizes(model->options);
  sizes.output_embedding = sizes.classes = 0;
  const int64_t steps = 7, batch = 3;
  const auto state = model->initial_state(batch);
  hmrnn::BoundaryRule rule;
  rule.slope = torch::ones({}, torch::kFloat64);
  rule.given = random_boundaries({steps, batch, 2}, 0.3);
  const auto input = torch::randn({steps, batch, 6}, torch::kFloat64);
  without_remainder = true;
  const double found = instrumented([&] {
    hmrnn::reference_window(model->hm_lstm->layer_parameters(), input, state.h, state.c, state.z, rule, {}, 1e-5, {});
  });
  without_remainder = false;
  CHECK(hmrnn::forward_flops(hmrnn::rows_dense(steps * batch, steps * batch, 3, steps * batch), sizes) == found);
}

TEST_CASE("a plain LSTM costs what the control multiplies") {
  const auto model = counted_model(hmrnn::Core::LSTM);
  const auto sizes = hmrnn::cost_sizes(model->options);
  const int64_t steps = 9, batch = 2;
  const auto state = model->initial_state(batch);
  const auto index = torch::randint(11, {steps, batch});
  const double found = instrumented([&] {
    auto m = model;
    m->forward(index, state);
  });
  CHECK(hmrnn::forward_flops(hmrnn::rows_lstm(steps * batch, steps * batch, 3, 11), sizes) == found);
  const auto none = torch::zeros({steps, batch, 0}, torch::kFloat64);
  CHECK(hmrnn::forward_flops(hmrnn::rows_made(none, none[0], 3, 11), sizes) == found);
}

TEST_CASE("training costs what forward and backward pass of a plain LSTM multiply") {
  const auto model = counted_model(hmrnn::Core::LSTM);
  const auto sizes = hmrnn::cost_sizes(model->options);
  const int64_t steps = 9, batch = 2;
  const auto index = torch::randint(11, {steps, batch});
  counted_flops = 0;
  // The backward pass runs in another thread.
  const auto handle =
      at::addGlobalCallback(at::RecordFunctionCallback(see).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  auto m = model;
  m->forward(index, m->initial_state(batch)).logits.sum().backward();
  at::removeCallback(handle);
  CHECK(hmrnn::training_flops(hmrnn::rows_lstm(steps * batch, steps * batch, 3, 11), sizes) == counted_flops);
}

TEST_CASE("rows refuse layers that do not fit") {
  CHECK_THROWS_AS(hmrnn::rows_made(torch::zeros({7, 2, 2}), torch::zeros({2, 1}), 3, 7), c10::Error);
  CHECK_THROWS_AS(hmrnn::forward_flops(hmrnn::rows_lstm(1, 1, 2, 1), {3, {4, 4, 4}}), c10::Error);
}
