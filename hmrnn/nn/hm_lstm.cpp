#include "hmrnn/nn/hm_lstm.h"

#include <cmath>
#include <numeric>

#include "hmrnn/nn/dropout.h"
#include "hmrnn/nn/window_checks.h"

namespace hmrnn {

std::vector<torch::Tensor> HMLSTMOutput::shown() const {
  return locked_mask.defined() ? apply_locked_mask(h, locked_mask) : h;
}

HMLSTMImpl::HMLSTMImpl(const HMLSTMOptions& options_) : options(options_) {
  TORCH_CHECK(!options.hidden_sizes().empty(), "HMLSTM: hidden_sizes must name at least one layer");
  check_dropout("HMLSTM", "recurrent_dropout", options.recurrent_dropout());
  check_dropout("HMLSTM", "locked_dropout", options.locked_dropout());
  check_dropout("HMLSTM", "weight_drop", options.weight_drop());
  reset();
}

void HMLSTMImpl::reset() {
  const auto& sizes = options.hidden_sizes();
  layers = register_module("layers", torch::nn::ModuleList());
  for (size_t l = 0; l < sizes.size(); ++l) {
    layers->push_back(HMLSTMCell(HMLSTMCellOptions(l == 0 ? options.input_size() : sizes[l - 1], sizes[l])
                                     .above_size(l + 1 < sizes.size() ? sizes[l + 1] : 0)
                                     .layer_norm(options.layer_norm())
                                     .boundary(options.boundary())
                                     .forget_bias(options.forget_bias())
                                     .boundary_bias(options.boundary_bias())
                                     .init(options.init())
                                     .norm_gain(options.norm_gain())
                                     .eps(options.eps())));
  }
  slope_ = register_buffer("slope", torch::tensor(0.0));
  set_slope(options.slope());
}

void HMLSTMImpl::reset_parameters() {
  for (const auto& layer : *layers) layer->as<HMLSTMCell>()->reset_parameters();
}

void HMLSTMImpl::cap_detector_norms(double cap) {
  for (const auto& layer : *layers) layer->as<HMLSTMCell>()->cap_detector_norm(cap);
}

void HMLSTMImpl::shift_detector_biases(const torch::Tensor& changes) {
  TORCH_CHECK(changes.dim() == 1 && changes.size(0) == num_layers() - 1, "HMLSTM: the changes of biases must be [",
              num_layers() - 1, "], got ", changes.sizes());
  for (int64_t l = 0; l + 1 < num_layers(); ++l) layers->ptr(l)->as<HMLSTMCell>()->shift_detector_bias(changes[l]);
}

void HMLSTMImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::HMLSTM(input_size=" << options.input_size()
         << ", hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", layer_norm=" << (options.layer_norm() ? "true" : "false")
         << ", boundary=" << to_string(options.boundary());
  if (options.recurrent_dropout() > 0) stream << ", recurrent_dropout=" << options.recurrent_dropout();
  if (options.locked_dropout() > 0) stream << ", locked_dropout=" << options.locked_dropout();
  if (options.weight_drop() > 0) stream << ", weight_drop=" << options.weight_drop();
  stream << ")";
}

void HMLSTMImpl::set_slope(double slope) {
  TORCH_CHECK(std::isfinite(slope) && slope > 0, "HMLSTM: slope must be a finite number above 0, got ", slope);
  torch::NoGradGuard no_grad;
  slope_.fill_(slope);
}

double HMLSTMImpl::slope() const { return slope_.item<double>(); }

std::vector<LayerParameters> HMLSTMImpl::layer_parameters() const {
  std::vector<LayerParameters> out;
  for (const auto& layer : *layers) out.push_back(layer->as<HMLSTMCell>()->parameters_of_layer());
  return out;
}

HMLSTMState HMLSTMImpl::initial_state(int64_t batch) const {
  return HMLSTMState::zeros(batch, options.hidden_sizes(), num_layers() - 1,
                            layers->ptr(0)->as<HMLSTMCell>()->bias.options().requires_grad(false));
}

HMLSTMOutput HMLSTMImpl::forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state,
                                 const HMLSTMCall& call) {
  return run(sequence_window("HMLSTM", input, options.input_size()), state, call, is_training());
}

HMLSTMOutput HMLSTMImpl::forward_indexed(const torch::Tensor& table, const torch::Tensor& index,
                                         const std::optional<HMLSTMState>& state, const HMLSTMCall& call) {
  return run(table_window("HMLSTM", table, index, options.input_size()), state, call, is_training());
}

HMLSTMOutput HMLSTMImpl::run(WindowInput window, const std::optional<HMLSTMState>& state, const HMLSTMCall& call,
                             bool training) const {
  const auto steps = window_steps(window), batch = window_batch(window);
  const auto start = state && state->defined() ? *state : initial_state(batch);
  check_window("HMLSTM", window, start, call, options.hidden_sizes(), num_layers() - 1,
               layers->ptr(0)->as<HMLSTMCell>()->bias);
  window.h0 = start.h;
  window.c0 = start.c;
  window.z0 = start.z;
  window.lengths = call.lengths;
  BoundaryRule rule;
  rule.mode = options.boundary();
  rule.slope = slope_;
  rule.given = call.boundaries;
  rule.boundary_gradient = call.boundary_gradient;
  if (rule.mode == BoundaryMode::Bernoulli && !rule.given.defined()) {
    rule.noise = call.noise.defined() ? call.noise : torch::rand({steps, batch, num_layers() - 1}, start.z.options());
  }
  auto parameters = layer_parameters();
  HMLSTMOutput out;
  WindowDropout dropout;
  if (training && options.recurrent_dropout() > 0) {
    dropout.recurrent = options.recurrent_dropout();
    dropout.seed = draw_seeds(1, start.z.device())[0];
  }
  if (training && options.weight_drop() > 0) {
    for (auto& layer : parameters) layer.recurrent = drop_gate_weights(layer.recurrent, options.weight_drop());
  }
  if (training && options.locked_dropout() > 0) {
    const auto& sizes = options.hidden_sizes();
    out.locked_mask = draw_mask({batch, std::accumulate(sizes.begin(), sizes.end(), int64_t{0})},
                                options.locked_dropout(), start.z.options());
    dropout.locked_mask = out.locked_mask;
  }
  auto result = hm_lstm(parameters, window, rule, product_dtype_, options.eps(), dropout);

  out.h = std::move(result.h);
  out.z = result.z;
  out.state_index = result.state_index;
  // Copies, not views: a view would keep the whole window alive, and its alignment, on which the last bit of a BLAS
  // product may depend, would differ from that of a state inside a window.
  for (const auto& h : out.h) out.state.h.push_back(h[steps - 1].clone());
  out.state.c = std::move(result.c_n);
  out.state.z = out.z[steps - 1].clone();
  return out;
}

}  // namespace hmrnn
