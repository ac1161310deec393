#include "hmrnn/tasks/text_task.h"

#include <fmt/format.h>

#include <numbers>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/data/split_mix.h"
#include "hmrnn/error.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/run/process_group.h"
#include "hmrnn/tasks/evaluate_text.h"

namespace hmrnn {

double bits_per_character(double nats) { return nats / std::numbers::ln2; }

namespace {

int64_t detectors(const CharLMImpl& model) {
  return model.options.core() == Core::HMLSTM ? static_cast<int64_t>(model.options.hidden_sizes().size()) - 1 : 0;
}

}  // namespace

TextTask::TextTask(CharLM model, const TextCorpus& corpus, CorpusReference reference, const TextTaskOptions& options)
    : model_(std::move(model)),
      vocabulary_(corpus.vocabulary),
      reference_(std::move(reference)),
      options_((require_rank(options.rank, options.ranks), options)),
      train_(corpus.train, options.batch, options.window, /*exact=*/false, "the training text of " + corpus.source),
      valid_(corpus.valid, options.eval_streams, kEvaluationWindow, /*exact=*/true,
             "the validation text of " + corpus.source),
      given_(options.boundaries, detectors(*model_), corpus.vocabulary.bytes()),
      cost_(options.boundary_cost, detectors(*model_), options.device),
      slope_(model_->slope()),
      feed_([this](int64_t epoch, int64_t i) { return make_window(epoch, i); }, options.device) {
  TORCH_CHECK(model_->options.vocabulary_size() == vocabulary_.size(), "TextTask: the model has ",
              model_->options.vocabulary_size(), " symbols, the corpus ", vocabulary_.size());
  if (options_.batch % options_.ranks != 0 || valid_.streams() < options_.ranks) {
    throw Error(fmt::format("{} streams to train on and {} to validate on cannot be shared among {} processes",
                            options_.batch, valid_.streams(), options_.ranks));
  }
  model_->to(options_.device);
  model_->set_product_dtype(options_.product_dtype);
  model_->train();
  state_.reserve(model_->initial_state(own_streams()));
}

int64_t TextTask::offset(int64_t epoch) const {
  if (!options_.roll) return 0;
  // The seed depends only on options and epoch, so that a resume needs no replay.
  SplitMix64 random(options_.seed + 0x632be59bd9b4e019U * (static_cast<uint64_t>(epoch) + 1));
  return static_cast<int64_t>(random.below(static_cast<uint64_t>(train_.characters())));
}

HostWindow TextTask::make_window(int64_t epoch, int64_t i) const {
  auto window = train_.window(i, offset(epoch));
  HostWindow out{{window.input, window.target}, window.count, window.first};
  if (given_.defined()) out.tensors.push_back(given_(window.input, i * options_.window));
  if (options_.ranks > 1) {
    for (auto& tensor : out.tensors) {
      tensor = tensor.narrow(1, options_.rank * own_streams(), own_streams()).contiguous();
    }
    out.count = out.tensors[0].numel();
  }
  return out;
}

LoadedWindow TextTask::load(int64_t epoch, int64_t i) {
  const auto window = feed_.load(epoch, i);
  if (window.first) state_.start(own_streams());
  return {window.count, window.count, feed_.layout()};
}

WindowLoss TextTask::forward() {
  const auto &input = feed_[0], &target = feed_[1];
  HMLSTMCall call;
  if (given_.defined()) call.boundaries = feed_[2].to(model_->embedding->weight.scalar_type());
  const auto out = model_->forward(input, state_.current(), call);
  WindowLoss result;
  result.loss = cross_entropy(out.logits, target);
  result.penalty = cost_.penalty(out.core.z);
  result.updates = update_counts(out.core.z, state_.current().z, layers());
  state_.set_next(out.core.state);
  return result;
}

std::optional<Evaluation> TextTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_text(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype, given_, {},
                       options_.rank, options_.ranks);
}

void TextTask::settle(const torch::Tensor& not_finite) {
  state_.settle(not_finite);
  cost_.settle(not_finite);
  model_->shift_detector_biases(cost_.bias_change());
}

void TextTask::constrain() {
  if (options_.detector_norm_cap > 0) model_->cap_detector_norms(options_.detector_norm_cap);
}

void TextTask::save_state(SafeTensors& file) const {
  state_.save(file);
  cost_.save(file);
}

void TextTask::load_state(const SafeTensors& file, const std::string& where) {
  state_.load(file, where);
  cost_.load(file, where);
}

void TextTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

std::string TextTask::describe() const {
  return describe_char_lm(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, vocabulary_,
                          reference_, options_.boundaries);
}

std::vector<std::pair<std::string, double>> TextTask::measures(double loss, bool /*validation*/) const {
  return {{vocabulary_.is_ascii() ? "bpc" : "bpb", bits_per_character(loss)}};
}

std::string TextTask::loss_text(double loss) const {
  return fmt::format("{:.4f} {}", bits_per_character(loss), vocabulary_.is_ascii() ? "bpc" : "bpb");
}

std::string TextTask::unit() const { return vocabulary_.is_ascii() ? "characters" : "bytes"; }

}  // namespace hmrnn
