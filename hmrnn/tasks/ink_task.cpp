#include "hmrnn/tasks/ink_task.h"

#include <fmt/format.h>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/tasks/evaluate_ink.h"

namespace hmrnn {

namespace {

/// Standardised x and y of 0 units.
std::array<double, 2> zero_units(const InkNormalisation& of) {
  return {-of.mean[0] / of.deviation[0], -of.mean[1] / of.deviation[1]};
}

}  // namespace

InkTask::InkTask(HandwritingModel model, const InkCorpus& corpus, InkReference reference, const InkTaskOptions& options)
    : model_(std::move(model)),
      reference_(std::move(reference)),
      options_(options),
      normalisation_(measure_ink(corpus, corpus.split("train"), options.coordinates)),
      train_(ink_sequences(corpus, corpus.split("train"), normalisation_), options.batch, options.window, options.seed,
             {options.scale_jitter, zero_units(normalisation_)}),
      valid_(ink_sequences(corpus, corpus.split("valid"), normalisation_), kInkEvaluationBatch, kInkEvaluationWindow,
             std::nullopt),
      cost_(options.boundary_cost, model_->options.core() == Core::HMLSTM ? layers() - 1 : 0, options.device),
      slope_(model_->slope()),
      feed_(
          [this](int64_t epoch, int64_t i) {
            auto window = train_.window(epoch, i);
            return HostWindow{{window.input, window.target, window.lengths, window.weight}, window.count, window.first};
          },
          options.device) {
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reserve(model_->initial_state(options_.batch));
}

LoadedWindow InkTask::load(int64_t epoch, int64_t i) {
  const auto window = feed_.load(epoch, i);
  if (window.first) state_.start(feed_[0].size(1));
  return {window.count, window.count, feed_.layout()};
}

WindowLoss InkTask::forward() {
  const auto &input = feed_[0], &target = feed_[1], &lengths = feed_[2], &weight = feed_[3];
  HMLSTMCall call;
  call.lengths = lengths;
  const auto out = model_->forward(input, state_.current(), call);
  WindowLoss result;
  result.loss = handwriting_loss(out.raw, target, weight);
  result.penalty = cost_.penalty(out.core.z, weight);
  result.updates = update_counts(out.core.z, state_.current().z, layers(), weight);
  state_.leave(out.core.state);
  return result;
}

std::optional<Evaluation> InkTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_ink(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype);
}

void InkTask::settle(const torch::Tensor& skipped) {
  state_.settle(skipped);
  cost_.settle(skipped);
}

void InkTask::constrain() {
  if (options_.detector_norm_cap > 0) model_->cap_detector_norms(options_.detector_norm_cap);
}

void InkTask::save_state(SafeTensors& file) const {
  state_.save(file);
  cost_.save(file);
}

void InkTask::load_state(const SafeTensors& file, const std::string& where) {
  state_.load(file, where, /*any_batch=*/true);
  cost_.load(file, where);
}

void InkTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

std::string InkTask::describe() const {
  return describe_handwriting(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, normalisation_,
                              reference_);
}

std::vector<std::pair<std::string, double>> InkTask::measures(double loss, bool validation) const {
  // For training windows, which have any length: scaled to a sequence of mean length.
  const auto& of = validation ? valid_ : train_;
  return {{"log_likelihood", -loss * static_cast<double>(of.targets()) / static_cast<double>(of.sequences())}};
}

std::string InkTask::loss_text(double loss) const { return fmt::format("{:.4f} nats/point", loss); }

}  // namespace hmrnn
