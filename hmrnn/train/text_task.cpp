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
  state_ = model_->initial_state(options_.batch);
}

WindowLoss TextTask::run(int64_t i) {
  const auto window = train_.window(i);
  if (window.first) state_ = model_->initial_state(options_.batch);
  const auto out = model_->forward(window.input.to(options_.device, /*non_blocking=*/true), state_);
  WindowLoss result;
  result.loss = cross_entropy(out.logits, window.target.to(options_.device, /*non_blocking=*/true));
  result.count = window.count;
  result.positions = window.count;
  result.updates = update_counts(out.core.z, state_.z, layers());
  pending_ = out.core.state.detach();
  return result;
}

void TextTask::settle(const torch::Tensor& skipped) {
  if (skipped.device().is_cpu()) {
    state_ = skipped.item<float>() == 0 ? std::move(pending_) : model_->initial_state(options_.batch);
  } else {
    const auto mask = skipped.ne(0);
    state_ = std::move(pending_);
    for (auto* tensors : {&state_.h, &state_.c}) {
      for (auto& tensor : *tensors) tensor = tensor.masked_fill(mask, 0);
    }
    state_.z = state_.z.masked_fill(mask, 0);
  }
  pending_ = {};
}

std::optional<Evaluation> TextTask::evaluate(const std::function<bool()>& stop) {
  return evaluate_text(model_, valid_, options_.device, options_.seed, stop, options_.product_dtype);
}

void TextTask::set_slope(double slope) {
  slope_ = slope;
  model_->set_slope(slope);
}

void TextTask::save_state(SafeTensors& file) const {
  for (size_t l = 0; l < state_.h.size(); ++l) {
    file.tensors.emplace_back("state.h." + std::to_string(l), state_.h[l].cpu().contiguous());
    file.tensors.emplace_back("state.c." + std::to_string(l), state_.c[l].cpu().contiguous());
  }
  file.tensors.emplace_back("state.z", state_.z.cpu().contiguous());
}

void TextTask::load_state(const SafeTensors& file, const std::string& where) {
  auto state = model_->initial_state(options_.batch);
  const auto read = [&](const std::string& name, torch::Tensor& to) {
    const auto tensor = file.find(name);
    if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
    if (tensor.sizes() != to.sizes() || tensor.scalar_type() != to.scalar_type()) {
      throw Error(where + ": tensor " + name + " has shape " + c10::str(tensor.sizes()) + ", expected float32 " +
                  c10::str(to.sizes()));
    }
    to.copy_(tensor);
  };
  for (size_t l = 0; l < state.h.size(); ++l) {
    read("state.h." + std::to_string(l), state.h[l]);
    read("state.c." + std::to_string(l), state.c[l]);
  }
  read("state.z", state.z);
  state_ = std::move(state);
}

nlohmann::ordered_json TextTask::describe() const {
  return describe_char_lm(model_->options, model_->options.core() == Core::HMLSTM ? slope_ : 1.0, vocabulary_,
                          reference_);
}

void TextTask::add_measures(nlohmann::ordered_json& record, double loss) const {
  record["bpc"] = bits_per_character(loss);
}

std::string TextTask::loss_text(double loss) const { return fmt::format("{:.4f} bpc", bits_per_character(loss)); }

}  // namespace hmrnn
