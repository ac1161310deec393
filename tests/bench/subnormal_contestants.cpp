// Contestants that measure the cost of subnormal numbers in training on a CPU.
#include <ATen/Parallel.h>

#include <memory>
#include <optional>

#include "bench/contestants.h"
#include "bench/flops.h"
#include "bench/ingredients.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/train/flush_subnormals.h"
#include "hmrnn/train/optimizer.h"

namespace bench {

namespace {

enum class WithoutGradient {
  Nothing,
  Detectors,  ///< the boundary rows of every layer
  Layers,     ///< all layers above a detector that never fires
};

/// Bits of the numbers at which decay by 0.9 and 0.999 ends, because they round to themselves.
constexpr int32_t kFirstMoment = 4, kSecondMoment = 400;

/// The part of a moment that belongs to dead parameters; undefined: none.
torch::Tensor dead_part(WithoutGradient dead, const std::string& name, const torch::Tensor& moment, int64_t units) {
  if (name.find("hm_lstm.layers.") == std::string::npos) return {};
  const bool lowest = name.find(".layers.0.") != std::string::npos;
  if (dead == WithoutGradient::Layers) return lowest ? torch::Tensor() : moment;
  const bool has_boundary = moment.size(0) == 4 * units + 1;
  return dead == WithoutGradient::Detectors && has_boundary ? moment.narrow(0, 4 * units, 1) : torch::Tensor();
}

/// Number of subnormal moments.
int64_t subnormal_moments(const hmrnn::ClippedAdam& adam) {
  hmrnn::SafeTensors file;
  adam.save(file);
  int64_t count = 0;
  for (const auto& [name, tensor] : file.tensors) {
    if (tensor.scalar_type() != torch::kFloat32) continue;
    const auto bits = tensor.view(torch::kInt32).bitwise_and(0x7fffffff);
    count += ((bits > 0) & (bits < 0x00800000)).sum().item<int64_t>();
  }
  return count;
}

/// Sets the moments of dead parameters to these numbers; returns how many.
int64_t set_final_moments(hmrnn::ClippedAdam& adam, WithoutGradient dead, int64_t units) {
  hmrnn::SafeTensors file;
  adam.save(file);
  int64_t count = 0;
  for (auto& [name, tensor] : file.tensors) {
    if (tensor.dim() == 0) continue;
    tensor = tensor.clone();
    const auto part = dead_part(dead, name, tensor, units);
    if (!part.defined()) continue;
    part.view(torch::kInt32).fill_(name.starts_with("adam.exp_avg_sq.") ? kSecondMoment : kFirstMoment);
    count += part.numel();
  }
  adam.load(file, "benchmark");
  return count;
}

/// A model, a window of text, an optimiser.
struct Training {
  Training(const Size& size, WithoutGradient dead)
      : model(hmrnn::CharLMOptions(kVocabulary)
                  .embedding_size(kInput)
                  .hidden_sizes(std::vector<int64_t>(kLayers, size.units))
                  .output_embedding_size(size.units)
                  .norm_gain(kNormGain)),
        index(torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64)),
        target(torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64)),
        rates(dead == WithoutGradient::Layers ? Rates{0, 0} : kRates[1]) {
    std::vector<std::pair<std::string, torch::Tensor>> named;
    for (const auto& item : model->named_parameters()) named.emplace_back(item.key(), item.value());
    adam = std::make_unique<hmrnn::ClippedAdam>(std::move(named), hmrnn::ClippedAdam::Options{});
    adam->set_learning_rate(1e-4);
    // Given boundaries without gradients for the detectors, for all contestants, so that windows cost the same.
    call.boundaries = draw_boundaries(size.window, size.batch, rates);
    call.boundary_gradient = false;
    update();  // gives all other parameters moments
    subnormal = set_final_moments(*adam, dead, size.units);
    TORCH_CHECK((subnormal > 0) == (dead != WithoutGradient::Nothing), "benchmark: ", subnormal,
                " moments were made subnormal");
  }
  void update() {
    const auto loss = hmrnn::cross_entropy(model->forward(index, std::nullopt, call).logits, target);
    loss.backward();
    const auto report = adam->step(loss);
    TORCH_CHECK(report.skipped.item<float>() == 0, "benchmark: an update was skipped, since its gradient overflows");
  }
  /// Only the optimiser, with zero gradients.
  void step() {
    for (auto& parameter : model->parameters()) parameter.mutable_grad() = torch::zeros_like(parameter);
    adam->step(torch::zeros({}));
  }
  hmrnn::CharLM model;
  torch::Tensor index, target;
  Rates rates;
  hmrnn::HMLSTMCall call;
  std::unique_ptr<hmrnn::ClippedAdam> adam;
  int64_t subnormal = 0;
};

}  // namespace

std::vector<Contestant> subnormal_group(const Size& size) {
  std::vector<Contestant> group;
  const auto add = [&](const std::string& name, WithoutGradient dead, bool flush, bool whole) {
    const auto training = std::make_shared<Training>(size, dead);
    auto& contestant = group.emplace_back();
    contestant.name = name + (flush ? "_flushed" : "");
    contestant.size = size;
    contestant.rates = training->rates;
    contestant.layer_norm = true;
    contestant.baseline = group.size() == 1;
    contestant.characters = static_cast<double>(size.window * size.batch);
    if (whole) {
      contestant.flops =
          hmrnn::training_flops(rows_of(training->call.boundaries, size.window * size.batch, kVocabulary),
                                hmrnn::cost_sizes(training->model->options));
    }
    contestant.run = [training, flush, whole] {
      std::optional<hmrnn::FlushSubnormals> scope;
      if (flush) scope.emplace();
      whole ? training->update() : training->step();
    };
    contestant.run();
    // Check that the contestant's name is true.
    const auto left = subnormal_moments(*training->adam);
    TORCH_CHECK(flush ? left == 0 : left >= training->subnormal, "benchmark: ", contestant.name, " has ", left,
                " subnormal moments, ", training->subnormal, " before");
  };
  for (const bool whole : {true, false}) {
    const std::string kind = whole ? "training/" : "adam/";
    add(kind + "ordinary_moments", WithoutGradient::Nothing, false, whole);
    add(kind + "ordinary_moments", WithoutGradient::Nothing, true, whole);
    for (const bool flush : {false, true}) add(kind + "dead_detectors", WithoutGradient::Detectors, flush, whole);
    for (const bool flush : {false, true}) add(kind + "dead_layers", WithoutGradient::Layers, flush, whole);
  }
  return group;
}

}  // namespace bench
