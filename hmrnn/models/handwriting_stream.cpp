#include "hmrnn/models/handwriting_stream.h"

#include <ATen/CPUGeneratorImpl.h>

#include <vector>

namespace hmrnn {

HandwritingStream::HandwritingStream(HandwritingModel model, torch::Device device, uint64_t seed)
    : model_(std::move(model)), device_(device), generator_(at::make_generator<at::CPUGeneratorImpl>(seed)) {
  model_->eval();
  if (model_->options.core() == Core::HMLSTM) {
    core_ = model_->hm_lstm->stream();
  } else {
    control_ = model_->initial_state(1);
  }
}

HandwritingStream::Result HandwritingStream::feed(const torch::Tensor& points) {
  TORCH_CHECK(
      points.dim() == 2 && points.size(0) >= 1 && points.size(1) == 3 && points.scalar_type() == torch::kFloat32,
      "HandwritingStream: points must be float32 [T, 3] with T at least 1, got ", points.scalar_type(), " ",
      points.sizes());
  const torch::NoGradGuard no_grad;
  const auto input = points.to(device_);
  Result result;
  if (!core_) {
    auto out = model_->forward(input.unsqueeze(1), control_);
    result.raw = out.raw[-1][0].cpu();
    result.z = out.core.z.select(1, 0).cpu();
    control_ = std::move(out.core.state);
    return result;
  }
  const bool bernoulli = model_->options.boundary() == BoundaryMode::Bernoulli;
  const auto steps = input.size(0), layers = model_->hm_lstm->num_layers();
  auto z = torch::empty({steps, layers - 1});
  HMLSTMStepCall call;
  for (int64_t t = 0; t < steps; ++t) {
    if (bernoulli) call.noise = torch::rand({layers - 1}, generator_).to(device_);
    model_->hm_lstm->step(input[t], *core_, call);
    z[t].copy_(core_->z());
  }
  std::vector<torch::Tensor> h;
  for (int64_t l = 0; l < layers; ++l) h.push_back(core_->h(l).view({1, 1, -1}));
  result.raw = model_->mixture(model_->output(h))[0][0].cpu();
  result.z = z;
  return result;
}

torch::Tensor write_on(HandwritingStream& stream, const torch::Tensor& start, int64_t count, double bias,
                       torch::Generator& generator) {
  auto out = torch::empty({count, 3});
  auto next = start;
  for (int64_t i = 0; i < count; ++i) {
    const auto raw = stream.feed(next).raw;
    TORCH_CHECK_VALUE(torch::isfinite(raw).all().item<bool>(),
                      "write_on: the model computes values that are not finite");
    const auto point = sample_mixture(read_mixture(raw), bias, generator).to(torch::kFloat32);
    out[i].copy_(point);
    next = point.unsqueeze(0);
  }
  return out;
}

}  // namespace hmrnn
