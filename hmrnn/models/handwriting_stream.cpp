#include "hmrnn/models/handwriting_stream.h"

#include <ATen/CPUGeneratorImpl.h>

#include <vector>

namespace hmrnn {

namespace {

std::vector<torch::Generator> seeded(const std::vector<uint64_t>& seeds) {
  std::vector<torch::Generator> out;
  for (const auto seed : seeds) out.push_back(at::make_generator<at::CPUGeneratorImpl>(seed));
  return out;
}

}  // namespace

HandwritingStream::HandwritingStream(HandwritingModel model, torch::Device device,
                                     std::vector<torch::Generator> generators, bool batched)
    : model_(std::move(model)), device_(device), generators_(std::move(generators)), batched_(batched) {
  TORCH_CHECK(!generators_.empty(), "HandwritingStream: there must be a seed for each sequence, at least one");
}

HandwritingStream::HandwritingStream(HandwritingModel model, torch::Device device, uint64_t seed)
    : HandwritingStream(std::move(model), device, seeded({seed}), /*batched=*/false) {
  model_->eval();
  if (model_->options.core() == Core::HMLSTM) {
    core_ = model_->hm_lstm->stream();
  } else {
    control_ = model_->initial_state(1);
  }
}

HandwritingStream::HandwritingStream(HandwritingModel model, torch::Device device, const std::vector<uint64_t>& seeds)
    : HandwritingStream(std::move(model), device, seeded(seeds), /*batched=*/true) {
  model_->eval();
  if (model_->options.core() == Core::HMLSTM) {
    core_ = model_->hm_lstm->streams(batch());
  } else {
    control_ = model_->initial_state(batch());
  }
}

HandwritingStream::Result HandwritingStream::feed(const torch::Tensor& points) {
  const bool fits = batched_ ? points.dim() == 3 && points.size(1) == batch() : points.dim() == 2;
  TORCH_CHECK(fits && points.size(0) >= 1 && points.size(-1) == 3 && points.scalar_type() == torch::kFloat32,
              "HandwritingStream: points must be float32 [T, ", batched_ ? c10::str(batch(), ", ") : "",
              "3] with T at least 1, got ", points.scalar_type(), " ", points.sizes());
  const torch::NoGradGuard no_grad;
  const auto input = points.to(device_);
  Result result;
  if (!core_) {
    auto out = model_->forward(batched_ ? input : input.unsqueeze(1), control_);
    result.raw = out.raw[-1].cpu();
    result.z = out.core.z.cpu();
    control_ = std::move(out.core.state);
  } else {
    const bool bernoulli = model_->options.boundary() == BoundaryMode::Bernoulli;
    const auto steps = input.size(0), layers = model_->hm_lstm->num_layers();
    result.z = torch::empty({steps, batch(), layers - 1});
    HMLSTMStepCall call;
    for (int64_t t = 0; t < steps; ++t) {
      if (bernoulli) {
        std::vector<torch::Tensor> noise;
        for (auto& generator : generators_) noise.push_back(torch::rand({layers - 1}, generator));
        call.noise = (batched_ ? torch::stack(noise) : noise[0]).to(device_);
      }
      model_->hm_lstm->step(input[t], *core_, call);
      result.z[t].copy_(core_->z());
    }
    std::vector<torch::Tensor> h;
    for (int64_t l = 0; l < layers; ++l) h.push_back(core_->h(l).reshape({1, batch(), -1}));
    result.raw = model_->mixture(model_->output(h))[0].cpu();
  }
  if (!batched_) {
    result.raw = result.raw[0];
    result.z = result.z.select(1, 0);
  }
  return result;
}

HandwritingStream HandwritingStream::join(const std::vector<const HandwritingStream*>& streams) {
  TORCH_CHECK(!streams.empty(), "HandwritingStream::join: there are no streams");
  std::vector<torch::Generator> generators;
  std::vector<const HMLSTMStream*> cores;
  std::vector<HMLSTMState> controls;
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto* stream = streams[i];
    TORCH_CHECK(stream != nullptr && stream->model_.ptr() == streams[0]->model_.ptr(),
                "HandwritingStream::join: stream ", i, " is of another model than stream 0");
    for (const auto& generator : stream->generators_) generators.push_back(generator.clone());
    if (stream->core_) {
      cores.push_back(&*stream->core_);
    } else {
      controls.push_back(stream->control_);
    }
  }
  HandwritingStream out(streams[0]->model_, streams[0]->device_, std::move(generators), /*batched=*/true);
  if (cores.empty()) {
    out.control_ = HMLSTMState::join(controls);
  } else {
    out.core_ = HMLSTMStream::join(cores);
  }
  return out;
}

HandwritingStream HandwritingStream::select(int64_t row) const {
  TORCH_CHECK(row >= 0 && row < batch(), "HandwritingStream: row must be in [0, ", batch(), "), got ", row);
  HandwritingStream out(model_, device_, {generators_[row].clone()}, /*batched=*/false);
  if (core_) {
    out.core_ = core_->select(row);
  } else {
    out.control_ = control_.select_rows({row});
  }
  return out;
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
