#include "hmrnn/tasks/text_task.h"

#include <fmt/format.h>

#include <numbers>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/error.h"
#include "hmrnn/tasks/evaluate_text.h"

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
      slope_(model_->slope()),
      feed_(
          [this](int64_t, int64_t i) {
            auto window = train_.window(i);
            return HostWindow{{window.input, window.target}, window.count, window.first};
          },
          options.device) {
  TORCH_CHECK(model_->options.vocabulary_size() == vocabulary_.size(), "TextTask: the model has ",
              model_->options.vocabulary_size(), " symbols, the corpus ", vocabulary_.size());
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reserve(model_->initial_state(options_.batch));
}

LoadedWindow TextTask::load(int64_t epoch, int64_t i) {
  const auto window = feed_.load(epoch, i);
  if (window.first) state_.start(options_.batch);
  return {window.count, window.count, feed_.layout()};
}

WindowLoss TextTask::forward() {
  const auto &input = feed_[0], &target = feed_[1];
  const auto out = model_->forward(input, state_.current());
  WindowLoss result;
  result.loss = cross_entropy(out.logits, target);
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

std::string TextTask::describe() const {
  return describe_char_lm(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, vocabulary_,
                          reference_);
}

std::vector<std::pair<std::string, double>> TextTask::measures(double loss, bool /*validation*/) const {
  return {{"bpc", bits_per_character(loss)}};
}

std::string TextTask::loss_text(double loss) const { return fmt::format("{:.4f} bpc", bits_per_character(loss)); }

}  // namespace hmrnn
