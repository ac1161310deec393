#include "hmrnn/nn/hm_lstm_stream.h"

#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/window_checks.h"
#include "hmrnn/ops/cpu/hm_lstm_stream.h"

namespace hmrnn {

/// Either the CPU's stream or, where there is none (another device, soft boundaries), the state of one-step windows.
struct HMLSTMStream::Data {
  std::unique_ptr<cpu::HMLSTMStream> fast;
  HMLSTMState window;
  int64_t layers = 0;
  int64_t input_size = 0;
};

HMLSTMStream::HMLSTMStream(std::unique_ptr<Data> data) : data_(std::move(data)) {}
HMLSTMStream::HMLSTMStream(HMLSTMStream&&) noexcept = default;
HMLSTMStream& HMLSTMStream::operator=(HMLSTMStream&&) noexcept = default;
HMLSTMStream::~HMLSTMStream() = default;

namespace {

void check_layer(int64_t layer, int64_t layers) {
  TORCH_CHECK(layer >= 0 && layer < layers, "HMLSTMStream: layer must be in [0, ", layers, "), got ", layer);
}

}  // namespace

torch::Tensor HMLSTMStream::h(int64_t layer) const {
  check_layer(layer, data_->layers);
  return data_->fast ? data_->fast->h[layer] : data_->window.h[layer][0];
}

torch::Tensor HMLSTMStream::z() const { return data_->fast ? data_->fast->z : data_->window.z[0]; }

bool HMLSTMStream::changed(int64_t layer) const {
  check_layer(layer, data_->layers);
  return !data_->fast || data_->fast->changed[layer] != 0;
}

HMLSTMState HMLSTMStream::state() const {
  if (!data_->fast) return data_->window;
  HMLSTMState out;
  for (const auto& x : data_->fast->h) out.h.push_back(x.clone().unsqueeze(0));
  for (const auto& x : data_->fast->c) out.c.push_back(x.clone().unsqueeze(0));
  out.z = data_->fast->z.clone().unsqueeze(0);
  return out;
}

HMLSTMStream HMLSTMImpl::stream(const std::optional<HMLSTMState>& state) const {
  const torch::NoGradGuard no_grad;
  const auto start = state && state->defined() ? state->detach() : initial_state(1);
  const auto& like = layers->ptr(0)->as<HMLSTMCell>()->bias;
  // The checks of forward, on a window of one step.
  const auto step = torch::zeros({1, 1, options.input_size()}, like.options());
  check_window("HMLSTM::stream", sequence_window("HMLSTM::stream", step, options.input_size()), start, {},
               options.hidden_sizes(), num_layers() - 1, like);
  auto data = std::make_unique<HMLSTMStream::Data>();
  data->layers = num_layers();
  data->input_size = options.input_size();
  if (like.is_cpu() && options.boundary() != BoundaryMode::Soft) {
    WindowInput window;
    window.h0 = start.h;
    window.c0 = start.c;
    window.z0 = start.z;
    BoundaryRule rule;
    rule.mode = BoundaryMode::Step;  // noise comes with each step
    rule.slope = slope_;
    data->fast = cpu::make_stream({layer_parameters(), window, rule, {}, std::nullopt, options.eps()});
  } else {
    data->window = start;
  }
  return HMLSTMStream(std::move(data));
}

void HMLSTMImpl::step(const torch::Tensor& input, HMLSTMStream& stream, const HMLSTMStepCall& call) const {
  TORCH_CHECK(input.dim() == 1 && input.size(0) == options.input_size(), "HMLSTM::step: input must have shape [",
              options.input_size(), "], got ", input.sizes());
  advance(input, -1, stream, call);
}

void HMLSTMImpl::step_indexed(const torch::Tensor& table, int64_t index, HMLSTMStream& stream,
                              const HMLSTMStepCall& call) const {
  TORCH_CHECK(table.dim() == 2 && table.size(1) == options.input_size(), "HMLSTM::step_indexed: table must have shape ",
              "[V, ", options.input_size(), "], got ", table.sizes());
  TORCH_CHECK(index >= 0 && index < table.size(0), "HMLSTM::step_indexed: index must be in [0, ", table.size(0),
              "), got ", index);
  advance(table[index], index, stream, call);
}

void HMLSTMImpl::advance(const torch::Tensor& input, int64_t index, HMLSTMStream& stream,
                         const HMLSTMStepCall& call) const {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(stream.data_ != nullptr && stream.data_->layers == num_layers() &&
                  stream.data_->input_size == options.input_size(),
              "HMLSTM::step: the stream was made by a module of other sizes");
  auto& data = *stream.data_;
  const auto like = data.fast ? data.fast->h[0] : data.window.h[0];
  const auto check = [&](const char* name, const torch::Tensor& x) {
    TORCH_CHECK(x.scalar_type() == like.scalar_type() && x.device() == like.device(), "HMLSTM::step: ", name,
                " must be ", like.scalar_type(), " on ", like.device(), ", got ", x.scalar_type(), " on ", x.device());
  };
  check("input", input);
  torch::Tensor noise = call.noise;
  if (!noise.defined() && !call.boundaries.defined() && options.boundary() == BoundaryMode::Bernoulli) {
    noise = torch::rand({num_layers() - 1}, like.options());
  }
  for (const auto& [name, x] : {std::pair("boundaries", call.boundaries), std::pair("noise", noise)}) {
    if (!x.defined()) continue;
    check(name, x);
    TORCH_CHECK(x.dim() == 1 && x.size(0) == num_layers() - 1, "HMLSTM::step: ", name, " must have shape [",
                num_layers() - 1, "], got ", x.sizes());
  }
  if (data.fast) {
    const auto x = input.contiguous();
    const auto given = call.boundaries.defined() ? call.boundaries.contiguous() : torch::Tensor();
    noise = noise.defined() ? noise.contiguous() : noise;
    data.fast->step(x.const_data_ptr(), index, given.defined() ? given.const_data_ptr() : nullptr,
                    noise.defined() ? noise.const_data_ptr() : nullptr);
    return;
  }
  HMLSTMCall window;
  if (call.boundaries.defined()) window.boundaries = call.boundaries.view({1, 1, -1});
  if (noise.defined()) window.noise = noise.view({1, 1, -1});
  data.window = run(sequence_window("HMLSTM::step", input.view({1, 1, -1}), options.input_size()), data.window, window,
                    /*training=*/false)
                    .state;
}

}  // namespace hmrnn
