#include "hmrnn/models/handwriting_stream.h"

#include <ATen/CPUGeneratorImpl.h>

namespace hmrnn {

HandwritingStream::HandwritingStream(HandwritingModel model, torch::Device device, uint64_t seed)
    : model_(std::move(model)),
      device_(device),
      generator_(at::make_generator<at::CPUGeneratorImpl>(seed)),
      state_(model_->initial_state(1)) {
  model_->eval();
}

HandwritingStream::Result HandwritingStream::feed(const torch::Tensor& points) {
  TORCH_CHECK(
      points.dim() == 2 && points.size(0) >= 1 && points.size(1) == 3 && points.scalar_type() == torch::kFloat32,
      "HandwritingStream: points must be float32 [T, 3] with T at least 1, got ", points.scalar_type(), " ",
      points.sizes());
  const torch::NoGradGuard no_grad;
  HMLSTMCall call;
  if (model_->options.core() == Core::HMLSTM && model_->options.boundary() == BoundaryMode::Bernoulli) {
    call.noise = torch::rand({points.size(0), 1, state_.z.size(1)}, generator_).to(device_);
  }
  auto out = model_->forward(points.to(device_).unsqueeze(1), state_, call);
  Result result;
  result.raw = out.raw[-1][0].cpu();
  result.z = out.core.z.select(1, 0).cpu();
  state_ = std::move(out.core.state);
  return result;
}

torch::Tensor write_on(HandwritingStream& stream, const torch::Tensor& start, int64_t count, double bias,
                       torch::Generator& generator) {
  auto out = torch::empty({count, 3});
  auto next = start;
  for (int64_t i = 0; i < count; ++i) {
    const auto point = sample_mixture(read_mixture(stream.feed(next).raw), bias, generator).to(torch::kFloat32);
    out[i].copy_(point);
    next = point.unsqueeze(0);
  }
  return out;
}

}  // namespace hmrnn
