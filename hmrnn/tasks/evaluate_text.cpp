#include "hmrnn/tasks/evaluate_text.h"

#include <chrono>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/run/random_state.h"
#include "hmrnn/tasks/evaluation_mode.h"

namespace hmrnn {

namespace {

/// The streams `first` to `first + own` of a window.
TextWindow narrowed(TextWindow window, int64_t first, int64_t own) {
  if (own == window.input.size(1)) return window;
  for (auto* tensor : {&window.input, &window.target, &window.weight}) {
    if (tensor->defined()) *tensor = tensor->narrow(1, first, own).contiguous();
  }
  window.count = window.weight.defined() ? window.weight.sum().item<int64_t>() : window.input.numel();
  return window;
}

}  // namespace

std::optional<Evaluation> evaluate_text(CharLM model, const TextStreams& streams, torch::Device device, uint64_t seed,
                                        const std::function<bool()>& stop,
                                        std::optional<torch::ScalarType> product_dtype, const GivenBoundaries& given,
                                        const TextVisitor& visit, int64_t rank, int64_t ranks) {
  const auto start = std::chrono::steady_clock::now();
  const torch::NoGradGuard no_grad;
  const EvaluationMode<CharLM> mode(model, product_dtype);
  auto generator = make_generator(seed);
  const auto layers = static_cast<int64_t>(model->options.hidden_sizes().size());
  const bool bernoulli = model->options.core() == Core::HMLSTM && model->options.boundary() == BoundaryMode::Bernoulli;

  const auto [first, own] = rows_of_rank(streams.streams(), rank, ranks);
  auto state = model->initial_state(own);
  // Σ loss and the layers' updates: on the device, so that no window waits for the previous one.
  auto loss = torch::zeros({}, torch::TensorOptions(device).dtype(torch::kFloat64));
  auto updates = torch::zeros({layers}, loss.options());
  Evaluation result;
  for (int64_t i = 0; i < streams.windows(); ++i) {
    if (stop && stop()) return std::nullopt;
    const auto window = narrowed(streams.window(i), first, own);
    const auto weight = window.weight.defined() ? window.weight.to(device) : torch::Tensor();
    HMLSTMCall call;
    if (given.defined()) {
      call.boundaries = given(window.input, i * kEvaluationWindow).to(device, model->embedding->weight.scalar_type());
    } else if (bernoulli) {  // drawn for all streams, so that each gets the same numbers in any number of processes
      const auto noise = torch::rand({window.input.size(0), streams.streams(), layers - 1}, generator);
      call.noise = noise.narrow(1, first, own).to(device);
    }
    const auto out = model->forward(window.input.to(device), state, call);
    if (window.count > 0) {  // else the last window has one step, and all streams of this process ended before it
      loss += cross_entropy(out.logits, window.target.to(device), weight).to(torch::kFloat64) *
              static_cast<double>(window.count);
    }
    updates += update_counts(out.core.z, state.z, layers, weight);
    result.count += window.count;
    if (visit) visit(window, state, out);
    state = out.core.state;
  }
  const auto scored = static_cast<double>(result.count);
  result.loss = loss.item<double>() / scored;
  const auto counts = updates.cpu();
  for (int64_t l = 0; l < layers; ++l) result.updates.push_back(counts[l].item<double>() / scored);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace hmrnn
