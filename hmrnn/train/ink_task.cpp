#include "hmrnn/train/ink_task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/train/evaluate_ink.h"

namespace hmrnn {

InkTask::InkTask(HandwritingModel model, const InkCorpus& corpus, InkReference reference, const InkTaskOptions& options)
    : model_(std::move(model)),
      reference_(std::move(reference)),
      options_(options),
      normalisation_(measure_ink(corpus, corpus.split("train"), options.coordinates)),
      train_(ink_sequences(corpus, corpus.split("train"), normalisation_), options.batch, options.window, options.seed),
      valid_(ink_sequences(corpus, corpus.split("valid"), normalisation_), kInkEvaluationBatch, kInkEvaluationWindow,
             std::nullopt),
      slope_(model_->slope()) {
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reset(model_->initial_state(options_.batch));
}

WindowLoss InkTask::run(int64_t epoch, int64_t i) {
  const auto window = train_.window(epoch, i);
  const auto to_device = [&](const torch::Tensor& x) { return x.to(options_.device, /*non_blocking=*/true); };
  if (window.first) state_.reset(model_->initial_state(window.input.size(1)));
  HMLSTMCall call;
  call.lengths = to_device(window.lengths);
  const auto weight = to_device(window.weight);
  const auto out = model_->forward(to_device(window.input), state_.current(), call);
  WindowLoss result;
  result.loss = handwriting_loss(out.raw, to_device(window.target), weight);
  result.count = window.count;
  result.positions = window.count;
  result.updates = update_counts(out.core.z, state_.current().z, layers(), weight);
  state_.leave(out.core.state);
  return result;
}

std::optional<Evaluation> InkTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_ink(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype);
}

void InkTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

nlohmann::ordered_json InkTask::describe() const {
  return describe_handwriting(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, normalisation_,
                              reference_);
}

void InkTask::add_measures(nlohmann::ordered_json& record, double loss, bool validation) const {
  // Of training windows, which are of any length, what a sequence of mean length would have.
  const auto& of = validation ? valid_ : train_;
  record["log_likelihood"] = -loss * static_cast<double>(of.targets()) / static_cast<double>(of.sequences());
}

std::string InkTask::loss_text(double loss) const { return fmt::format("{:.4f} nats/point", loss); }

}  // namespace hmrnn
