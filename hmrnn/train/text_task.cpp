#include "hmrnn/train/text_task.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <numbers>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/train/char_lm_metadata.h"
#include "hmrnn/train/evaluate.h"

namespace hmrnn {

double bits_per_character(double nats) { return nats / std::numbers::ln2; }

TextTask::TextTask(CharLM model, const TextCorpus& corpus, CorpusReference reference, const TextTaskOptions& options)
    : model_(std::move(model)),
      vocabulary_(corpus.vocabulary),
      reference_(std::move(reference)),
      options_(options),
      train_(corpus.train, options.batch, options.window, /*exact=*/false, "the training text of " + corpus.source),
      valid_(corpus.valid, options.eval_streams, kEvaluationWindow, /*exact=*/true,
             "the validation text of " + corpus.source),
      slope_(model_->slope()) {
  TORCH_CHECK(model_->options.vocabulary_size() == vocabulary_.size(), "TextTask: the model has ",
              model_->options.vocabulary_size(), " symbols, the corpus ", vocabulary_.size());
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reset(model_->initial_state(options_.batch));
}

WindowLoss TextTask::run(int64_t /*epoch*/, int64_t i) {
  const auto window = train_.window(i);
  if (window.first) state_.reset(model_->initial_state(options_.batch));
  const auto out = model_->forward(window.input.to(options_.device, /*non_blocking=*/true), state_.current());
  WindowLoss result;
  result.loss = cross_entropy(out.logits, window.target.to(options_.device, /*non_blocking=*/true));
  result.count = window.count;
  result.positions = window.count;
  result.updates = update_counts(out.core.z, state_.current().z, layers());
  state_.leave(out.core.state);
  return result;
}

std::optional<Evaluation> TextTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_text(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype);
}

void TextTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

nlohmann::ordered_json TextTask::describe() const {
  return describe_char_lm(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, vocabulary_,
                          reference_);
}

void TextTask::add_measures(nlohmann::ordered_json& record, double loss, bool /*validation*/) const {
  record["bpc"] = bits_per_character(loss);
}

std::string TextTask::loss_text(double loss) const { return fmt::format("{:.4f} bpc", bits_per_character(loss)); }

}  // namespace hmrnn
