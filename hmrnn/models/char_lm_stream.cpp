#include "hmrnn/models/char_lm_stream.h"

#include <ATen/CPUGeneratorImpl.h>

namespace hmrnn {

CharLMStream::CharLMStream(CharLM model, torch::Device device, uint64_t seed)
    : model_(std::move(model)),
      device_(device),
      generator_(at::make_generator<at::CPUGeneratorImpl>(seed)),
      state_(model_->initial_state(1)) {
  model_->eval();
}

CharLMStream::Result CharLMStream::feed(const torch::Tensor& index) {
  TORCH_CHECK(index.dim() == 1 && index.scalar_type() == torch::kInt64 && index.size(0) >= 1,
              "CharLMStream: index must be int64 [T] with T at least 1, got ", index.scalar_type(), " ", index.sizes());
  const torch::NoGradGuard no_grad;
  HMLSTMCall call;
  if (model_->options.core() == Core::HMLSTM && model_->options.boundary() == BoundaryMode::Bernoulli) {
    call.noise = torch::rand({index.size(0), 1, state_.z.size(1)}, generator_).to(device_);
  }
  auto out = model_->forward(index.to(device_).unsqueeze(1), state_, call);
  Result result;
  result.logits = out.logits[-1][0].cpu();
  result.z = out.core.z.select(1, 0).cpu();
  result.z_before = state_.z[0].cpu();
  state_ = std::move(out.core.state);
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
