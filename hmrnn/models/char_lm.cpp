#include "hmrnn/models/char_lm.h"

#include "hmrnn/models/copy_weights.h"
#include "hmrnn/nn/dropout.h"

namespace hmrnn {

CharLMImpl::CharLMImpl(const CharLMOptions& options_) : options(options_) {
  TORCH_CHECK(options.vocabulary_size() >= 1, "CharLM: vocabulary_size must be at least 1, got ",
              options.vocabulary_size());
  TORCH_CHECK(options.embedding_size() >= 1, "CharLM: embedding_size must be at least 1, got ",
              options.embedding_size());
  check_dropout("CharLM", "embedding_dropout", options.embedding_dropout());
  reset();
}

void CharLMImpl::reset() {
  // torch::nn::Embedding starts with N(0, 1), since the paper names no other initialisation.
  embedding = register_module("embedding", torch::nn::Embedding(options.vocabulary_size(), options.embedding_size()));
  register_core(options.embedding_size(), options);
  register_output(options, options.vocabulary_size());
}

void CharLMImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::CharLM(vocabulary_size=" << options.vocabulary_size() << ", core=" << to_string(options.core())
         << ")";
}

CharLMOutput CharLMImpl::forward(const torch::Tensor& index, const std::optional<HMLSTMState>& state,
                                 const HMLSTMCall& call) {
  CharLMOutput out;
  auto table = embedding->weight;
  if (is_training() && options.embedding_dropout() > 0) table = drop_symbols(table, options.embedding_dropout());
  out.core = hm_lstm.is_empty() ? lstm->forward_indexed(table, index, state, call)
                                : hm_lstm->forward_indexed(table, index, state, call);
  out.logits = output->softmax(dropout(output(out.core.shown(), out.core.state_index)));
  return out;
}

void init_from(CharLM model, const CharLM& source) {
  copy_weights(*model, *source, [](const std::string& name) {
    return name == "embedding.weight" || name.starts_with("output.softmax.");  // a row for each symbol
  });
  model->set_slope(source->slope());
}

}  // namespace hmrnn
