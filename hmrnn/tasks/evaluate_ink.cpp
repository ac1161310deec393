#include "hmrnn/tasks/evaluate_ink.h"

#include <chrono>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/run/random_state.h"
#include "hmrnn/tasks/evaluation_mode.h"

namespace hmrnn {

std::optional<Evaluation> evaluate_ink(HandwritingModel model, const InkBatches& batches, torch::Device device,
                                       uint64_t seed, const std::function<bool()>& stop,
                                       std::optional<torch::ScalarType> product_dtype, const InkVisitor& visit) {
  const auto start = std::chrono::steady_clock::now();
  const torch::NoGradGuard no_grad;
  const EvaluationMode<HandwritingModel> mode(model, product_dtype);
  auto generator = make_generator(seed);
  const auto layers = static_cast<int64_t>(model->options.hidden_sizes().size());
  const bool bernoulli = model->options.core() == Core::HMLSTM && model->options.boundary() == BoundaryMode::Bernoulli;

  // Σ log density and the layers' updates: on the device, so that no window waits for the previous one.
  auto total = torch::zeros({}, torch::TensorOptions(device).dtype(torch::kFloat64));
  auto updates = torch::zeros({layers}, total.options());
  HMLSTMState state;
  Evaluation result;
  for (int64_t i = 0; i < batches.windows(); ++i) {
    if (stop && stop()) return std::nullopt;
    const auto window = batches.window(0, i);
    if (window.first) state = model->initial_state(window.input.size(1));
    const auto weight = window.weight.to(device);
    HMLSTMCall call;
    call.lengths = window.lengths.to(device);
    if (bernoulli) {
      call.noise = torch::rand({window.input.size(0), window.input.size(1), layers - 1}, generator).to(device);
    }
    const auto out = model->forward(window.input.to(device), state, call);
    const auto density = mixture_log_density(read_mixture(out.raw), window.target.to(device));
    total += (density * weight).sum(torch::kFloat64);
    updates += update_counts(out.core.z, state.z, layers, weight);
    result.count += window.count;
    if (visit) visit(window, state, out);
    state = out.core.state;
  }
  const auto scored = static_cast<double>(result.count);
  result.loss = -total.item<double>() / scored;
  const auto counts = updates.cpu();
  for (int64_t l = 0; l < layers; ++l) result.updates.push_back(counts[l].item<double>() / scored);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace hmrnn
