#include "hmrnn/models/char_lm_stream.h"

#include <ATen/CPUGeneratorImpl.h>

namespace hmrnn {

namespace {

/// x [m, n] · weightᵀ for weight [k, n]: [m, k]. (For one row a matrix times a vector, which needs no packing.)
torch::Tensor project(const torch::Tensor& x, const torch::Tensor& weight) {
  return x.size(0) == 1 ? torch::mv(weight, x[0]).unsqueeze(0) : torch::mm(x, weight.t());
}

}  // namespace

torch::Tensor CharLMStream::z() const {
  if (core_) return core_->z();
  return batched_ ? control_.z : control_.z[0];
}

HMLSTMState CharLMStream::state() const { return core_ ? core_->state() : control_; }

CharLMStream CharLMStream::take_rows(const std::vector<int64_t>& rows, bool batched) const {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(!rows.empty(), "CharLMStream: no rows to take");
  for (const auto row : rows) {
    TORCH_CHECK(row >= 0 && row < batch(), "CharLMStream: row must be in [0, ", batch(), "), got ", row);
  }
  const auto index = torch::tensor(rows, torch::kInt64).to(projected_.device());
  CharLMStream out;
  out.batched_ = batched;
  if (control_.defined()) out.control_ = control_.select_rows(rows);
  out.projected_ = projected_.index_select(0, index);
  out.gate_terms_ = gate_terms_.index_select(0, index);
  const auto layers = projected_.size(1);
  for (const auto row : rows) {
    out.projected_known_.insert(out.projected_known_.end(), projected_known_.begin() + row * layers,
                                projected_known_.begin() + (row + 1) * layers);
  }
  return out;
}

CharLMStream CharLMStream::select(int64_t row) const {
  auto out = take_rows({row}, /*batched=*/false);
  if (core_) out.core_ = core_->select(row);
  return out;
}

CharLMStream CharLMStream::select_rows(const std::vector<int64_t>& rows) const {
  auto out = take_rows(rows, /*batched=*/true);
  if (core_) out.core_ = core_->select_rows(rows);
  return out;
}

std::vector<CharLMStream> CharLMStream::split() const {
  std::vector<CharLMStream> out;
  for (int64_t row = 0; row < batch(); ++row) out.push_back(select(row));
  return out;
}

CharLMStream CharLMStream::join(const std::vector<const CharLMStream*>& streams) {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(!streams.empty(), "CharLMStream::join: no streams to join");
  const bool control = streams[0] != nullptr && !streams[0]->core_;
  CharLMStream out;
  out.batched_ = true;
  std::vector<const HMLSTMStream*> cores;
  std::vector<HMLSTMState> controls;
  std::vector<torch::Tensor> projected, gate_terms;
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto* stream = streams[i];
    TORCH_CHECK(stream != nullptr, "CharLMStream::join: stream ", i, " is null");
    TORCH_CHECK(stream->core_.has_value() != control &&
                    stream->projected_.sizes().slice(1) == streams[0]->projected_.sizes().slice(1),
                "CharLMStream::join: stream ", i, " was made by another model than stream 0");
    if (control) {
      controls.push_back(stream->control_);
    } else {
      cores.push_back(&*stream->core_);
    }
    projected.push_back(stream->projected_);
    gate_terms.push_back(stream->gate_terms_);
    out.projected_known_.insert(out.projected_known_.end(), stream->projected_known_.begin(),
                                stream->projected_known_.end());
  }
  if (control) {
    out.control_ = HMLSTMState::join(controls);
  } else {
    out.core_ = HMLSTMStream::join(cores);
  }
  out.projected_ = torch::cat(projected);
  out.gate_terms_ = torch::cat(gate_terms);
  return out;
}

CharLMStream CharLMImpl::stream(const std::optional<HMLSTMState>& state) const {
  return make_stream(state && state->defined() ? *state : initial_state(1), /*batched=*/false);
}

CharLMStream CharLMImpl::streams(int64_t batch) const {
  TORCH_CHECK(batch >= 1, "CharLM::streams: batch must be at least 1, got ", batch);
  return streams(initial_state(batch));
}

CharLMStream CharLMImpl::streams(const HMLSTMState& state) const {
  TORCH_CHECK(state.defined(), "CharLM::streams: the state has no tensors");
  return make_stream(state, /*batched=*/true);
}

CharLMStream CharLMImpl::make_stream(const HMLSTMState& state, bool batched) const {
  const torch::NoGradGuard no_grad;
  CharLMStream out;
  out.batched_ = batched;
  if (hm_lstm.is_empty()) {
    out.control_ = state.detach();
  } else {
    out.core_ = batched ? hm_lstm->streams(state) : hm_lstm->stream(state);
  }
  const auto layers = static_cast<int64_t>(options.hidden_sizes().size());
  const auto like = embedding->weight.options().requires_grad(false);
  out.projected_ = torch::zeros({state.batch(), layers, options.output_embedding_size()}, like);
  out.gate_terms_ = torch::zeros({state.batch(), layers, layers}, like);
  out.projected_known_.assign(state.batch() * layers, 0);
  return out;
}

void CharLMImpl::check_stream(const CharLMStream& stream) const {
  TORCH_CHECK(stream.core_.has_value() != hm_lstm.is_empty() && stream.projected_.defined() &&
                  stream.projected_.size(2) == options.output_embedding_size(),
              "CharLM::step: the stream was made by another model");
}

torch::Tensor CharLMImpl::step(int64_t symbol, CharLMStream& stream, const HMLSTMStepCall& call, bool predict) const {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(symbol >= 0 && symbol < options.vocabulary_size(), "CharLM::step: symbol must be in [0, ",
              options.vocabulary_size(), "), got ", symbol);
  check_stream(stream);
  TORCH_CHECK(!stream.batched(), "CharLM::step: a batched stream takes a symbol for each of its texts");
  if (stream.core_) {
    hm_lstm->step_indexed(embedding->weight, symbol, *stream.core_, call);
  } else {
    step_control(torch::full({1}, symbol, torch::kInt64), stream);
  }
  return predict_next(stream, predict);
}

torch::Tensor CharLMImpl::step(const torch::Tensor& symbols, CharLMStream& stream, const HMLSTMStepCall& call,
                               bool predict) const {
  const torch::NoGradGuard no_grad;
  check_stream(stream);
  TORCH_CHECK(stream.batched() && symbols.scalar_type() == torch::kInt64 && symbols.dim() == 1 &&
                  symbols.size(0) == stream.batch(),
              "CharLM::step: symbols must be int64 [", stream.batch(), "] for a batched stream, got ",
              symbols.scalar_type(), " ", symbols.sizes(), stream.batched() ? "" : ", and the stream is not batched");
  TORCH_CHECK(symbols.ge(0).logical_and_(symbols.lt(options.vocabulary_size())).all().item<bool>(),
              "CharLM::step: symbols must be in [0, ", options.vocabulary_size(), ") everywhere");
  if (stream.core_) {
    hm_lstm->step_indexed(embedding->weight, symbols, *stream.core_, call);
  } else {
    step_control(symbols, stream);
  }
  return predict_next(stream, predict);
}

void CharLMImpl::step_control(const torch::Tensor& symbols, CharLMStream& stream) const {
  auto module = lstm;  // forward is not const, as everywhere in torch::nn
  stream.control_ = module->step_indexed(embedding->weight, symbols.to(embedding->weight.device()), stream.control_);
}

torch::Tensor CharLMImpl::predict_next(CharLMStream& stream, bool predict) const {
  const auto layers = stream.projected_.size(1), batch = stream.batch();
  int64_t offset = 0;
  for (int64_t l = 0; l < layers; ++l) {
    const auto d = options.hidden_sizes()[l];
    std::vector<int64_t> rows;  // whose W^e h is not known
    for (int64_t b = 0; b < batch; ++b) {
      auto& known = stream.projected_known_[b * layers + l];
      if (!stream.core_ || stream.core_->changed(l, b)) known = 0;
      if (predict && !known) rows.push_back(b), known = 1;
    }
    if (!rows.empty()) {
      auto h = stream.core_ ? stream.core_->h(l) : stream.control_.h[l];
      if (h.dim() == 1) h = h.unsqueeze(0);
      auto projected = stream.projected_.select(1, l), terms = stream.gate_terms_.select(2, l);
      const auto& weight = (*output->embedding)[l];
      const auto gates = output->gates.narrow(1, offset, d);
      if (static_cast<int64_t>(rows.size()) == batch) {
        projected.copy_(project(h, weight));
        terms.copy_(project(h, gates));
      } else {
        const auto index = torch::tensor(rows, torch::kInt64).to(h.device());
        const auto changed = h.index_select(0, index);
        projected.index_copy_(0, index, project(changed, weight));
        terms.index_copy_(0, index, project(changed, gates));
      }
    }
    offset += d;
  }
  if (!predict) return {};
  const auto gates = stream.gate_terms_.sum(2).sigmoid_();
  if (!stream.batched()) {
    const auto embedded = torch::mv(stream.projected_[0].t(), gates[0]).relu_();
    return torch::addmv(output->softmax->bias, output->softmax->weight, embedded);
  }
  const auto embedded = torch::bmm(gates.unsqueeze(1), stream.projected_).squeeze(1).relu_();
  return torch::addmm(output->softmax->bias, embedded, output->softmax->weight.t());
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
