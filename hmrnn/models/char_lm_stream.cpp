#include "hmrnn/models/char_lm_stream.h"

#include <ATen/CPUGeneratorImpl.h>

namespace hmrnn {

torch::Tensor CharLMStream::z() const { return core_ ? core_->z() : control_.z[0]; }

HMLSTMState CharLMStream::state() const { return core_ ? core_->state() : control_; }

CharLMStream CharLMImpl::stream(const std::optional<HMLSTMState>& state) const {
  const torch::NoGradGuard no_grad;
  CharLMStream out;
  if (hm_lstm.is_empty()) {
    out.control_ = state && state->defined() ? state->detach() : initial_state(1);
  } else {
    out.core_ = hm_lstm->stream(state);
  }
  const auto layers = static_cast<int64_t>(options.hidden_sizes().size());
  const auto like = embedding->weight.options().requires_grad(false);
  out.projected_ = torch::zeros({layers, options.output_embedding_size()}, like);
  out.gate_terms_ = torch::zeros({layers, layers}, like);
  out.projected_known_.assign(layers, 0);
  return out;
}

torch::Tensor CharLMImpl::step(int64_t symbol, CharLMStream& stream, const HMLSTMStepCall& call, bool predict) const {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(symbol >= 0 && symbol < options.vocabulary_size(), "CharLM::step: symbol must be in [0, ",
              options.vocabulary_size(), "), got ", symbol);
  TORCH_CHECK(stream.core_.has_value() != hm_lstm.is_empty() && stream.projected_.defined() &&
                  stream.projected_.size(1) == options.output_embedding_size(),
              "CharLM::step: the stream was made by another model");
  if (stream.core_) {
    hm_lstm->step_indexed(embedding->weight, symbol, *stream.core_, call);
  } else {
    const auto index =
        torch::full({1, 1}, symbol, embedding->weight.options().dtype(torch::kInt64).requires_grad(false));
    auto module = lstm;  // forward is not const, as everywhere in torch::nn
    stream.control_ = module->forward_indexed(embedding->weight, index, stream.control_, {}).state;
  }
  int64_t offset = 0;
  for (int64_t l = 0; l < stream.projected_.size(0); ++l) {
    const auto d = options.hidden_sizes()[l];
    if (!stream.core_ || stream.core_->changed(l)) stream.projected_known_[l] = 0;
    if (predict && !stream.projected_known_[l]) {
      const auto h = stream.core_ ? stream.core_->h(l) : stream.control_.h[l][0];
      stream.projected_[l].copy_(torch::mv((*output->embedding)[l], h));
      stream.gate_terms_.select(1, l).copy_(torch::mv(output->gates.narrow(1, offset, d), h));
      stream.projected_known_[l] = 1;
    }
    offset += d;
  }
  if (!predict) return {};
  const auto gates = stream.gate_terms_.sum(1).sigmoid_();
  const auto embedded = torch::mv(stream.projected_.t(), gates).relu_();
  return torch::addmv(output->softmax->bias, output->softmax->weight, embedded);
}

CharLMReader::CharLMReader(CharLM model, uint64_t seed)
    : model_(std::move(model)), generator_(at::make_generator<at::CPUGeneratorImpl>(seed)), stream_(model_->stream()) {}

CharLMReader::Result CharLMReader::feed(const torch::Tensor& index, const torch::Tensor& boundaries) {
  TORCH_CHECK(index.dim() == 1 && index.scalar_type() == torch::kInt64 && index.size(0) >= 1,
              "CharLMReader: index must be int64 [T] with T at least 1, got ", index.scalar_type(), " ", index.sizes());
  const torch::NoGradGuard no_grad;
  const auto symbols = index.cpu().contiguous();
  const auto steps = symbols.size(0);
  const bool bernoulli =
      model_->options.core() == Core::HMLSTM && model_->options.boundary() == BoundaryMode::Bernoulli;
  Result result;
  result.z_before = stream_.z().clone().cpu();
  std::vector<torch::Tensor> z;
  for (int64_t t = 0; t < steps; ++t) {
    HMLSTMStepCall call;
    if (boundaries.defined()) {
      call.boundaries = boundaries[t].to(model_->embedding->weight.device());
    } else if (bernoulli) {
      call.noise = torch::rand({result.z_before.size(0)}, generator_).to(model_->embedding->weight.device());
    }
    const auto logits = model_->step(symbols.const_data_ptr<int64_t>()[t], stream_, call, /*predict=*/t + 1 == steps);
    if (logits.defined()) result.logits = logits.cpu();
    z.push_back(stream_.z().clone().cpu());
  }
  result.z = torch::stack(z);
  return result;
}

int64_t sample_symbol(const torch::Tensor& logits, double temperature, torch::Generator& generator) {
  TORCH_CHECK(logits.dim() == 1, "sample_symbol: logits must have shape [V], got ", logits.sizes());
  TORCH_CHECK(temperature >= 0, "sample_symbol: temperature must be at least 0, got ", temperature);
  const torch::NoGradGuard no_grad;
  const auto scores = logits.to(torch::kFloat64);
  if (temperature == 0) return scores.argmax().item<int64_t>();
  // Shifted first, so that a small temperature cannot overflow.
  const auto weights = torch::softmax((scores - scores.max()) / temperature, 0);
  return torch::multinomial(weights, 1, /*replacement=*/true, generator).item<int64_t>();
}

}  // namespace hmrnn
