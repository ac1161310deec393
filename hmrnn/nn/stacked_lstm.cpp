#include "hmrnn/nn/stacked_lstm.h"

#include <numeric>

#include "hmrnn/nn/dropout.h"
#include "hmrnn/nn/window_checks.h"

namespace hmrnn {

StackedLSTMImpl::StackedLSTMImpl(const StackedLSTMOptions& options_) : options(options_) {
  TORCH_CHECK(!options.hidden_sizes().empty(), "StackedLSTM: hidden_sizes must name at least one layer");
  check_dropout("StackedLSTM", "recurrent_dropout", options.recurrent_dropout());
  check_dropout("StackedLSTM", "locked_dropout", options.locked_dropout());
  check_dropout("StackedLSTM", "weight_drop", options.weight_drop());
  reset();
}

void StackedLSTMImpl::reset() {
  const auto& sizes = options.hidden_sizes();
  layers = register_module("layers", torch::nn::ModuleList());
  for (size_t l = 0; l < sizes.size(); ++l) {
    layers->push_back(HMLSTMCell(HMLSTMCellOptions(l == 0 ? options.input_size() : sizes[l - 1], sizes[l])
                                     .layer_norm(options.layer_norm())
                                     .forget_bias(options.forget_bias())
                                     .init(options.init())
                                     .norm_gain(options.norm_gain())
                                     .eps(options.eps())));
  }
}

void StackedLSTMImpl::reset_parameters() {
  for (const auto& layer : *layers) layer->as<HMLSTMCell>()->reset_parameters();
}

void StackedLSTMImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::StackedLSTM(input_size=" << options.input_size()
         << ", hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", layer_norm=" << (options.layer_norm() ? "true" : "false");
  if (options.recurrent_dropout() > 0) stream << ", recurrent_dropout=" << options.recurrent_dropout();
  if (options.locked_dropout() > 0) stream << ", locked_dropout=" << options.locked_dropout();
  if (options.weight_drop() > 0) stream << ", weight_drop=" << options.weight_drop();
  stream << ")";
}

HMLSTMState StackedLSTMImpl::initial_state(int64_t batch) const {
  return HMLSTMState::zeros(batch, options.hidden_sizes(), 0,
                            layers->ptr(0)->as<HMLSTMCell>()->bias.options().requires_grad(false));
}

HMLSTMOutput StackedLSTMImpl::forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state,
                                      const HMLSTMCall& call) {
  return run(sequence_window("StackedLSTM", input, options.input_size()), state, call, is_training());
}

HMLSTMOutput StackedLSTMImpl::forward_indexed(const torch::Tensor& table, const torch::Tensor& index,
                                              const std::optional<HMLSTMState>& state, const HMLSTMCall& call) {
  return run(table_window("StackedLSTM", table, index, options.input_size()), state, call, is_training());
}

HMLSTMState StackedLSTMImpl::step_indexed(const torch::Tensor& table, const torch::Tensor& symbols,
                                          const HMLSTMState& state) {
  const torch::NoGradGuard no_grad;
  const auto window = table_window("StackedLSTM::step_indexed", table, symbols.unsqueeze(0), options.input_size());
  return run(window, state, {}, /*training=*/false).state;
}

HMLSTMOutput StackedLSTMImpl::run(WindowInput window, const std::optional<HMLSTMState>& state, const HMLSTMCall& call,
                                  bool training) {
  const auto steps = window_steps(window), batch = window_batch(window);
  const auto start = state && state->defined() ? *state : initial_state(batch);
  check_window("StackedLSTM", window, start, call, options.hidden_sizes(), 0, layers->ptr(0)->as<HMLSTMCell>()->bias);
  BoundaryRule rule;
  rule.slope = torch::ones({}, start.z.options());
  window.z0 = start.z;
  window.lengths = call.lengths;
  HMLSTMOutput out;
  if (training && options.locked_dropout() > 0) {
    const auto& sizes = options.hidden_sizes();
    out.locked_mask = draw_mask({batch, std::accumulate(sizes.begin(), sizes.end(), int64_t{0})},
                                options.locked_dropout(), start.z.options());
  }
  WindowDropout dropout;
  torch::Tensor seeds;  // one per layer: in its own call every layer is layer 0, so one seed would give equal masks
  if (training && options.recurrent_dropout() > 0) {
    dropout.recurrent = options.recurrent_dropout();
    seeds = draw_seeds(num_layers(), start.z.device());
  }
  std::vector<torch::Tensor> state_index;
  int64_t column = 0;  // of the mask
  for (int64_t l = 0; l < num_layers(); ++l) {
    auto parameters = layers->ptr(l)->as<HMLSTMCell>()->parameters_of_layer();
    if (training && options.weight_drop() > 0) {
      parameters.recurrent = drop_gate_weights(parameters.recurrent, options.weight_drop());
    }
    window.h0 = {start.h[l]};
    window.c0 = {start.c[l]};
    if (seeds.defined()) dropout.seed = seeds[l];
    auto result = hm_lstm({parameters}, window, rule, product_dtype_, options.eps(), dropout);
    out.h.push_back(result.h[0]);
    out.state.h.push_back(result.h[0][steps - 1].clone());  // see HMLSTM
    out.state.c.push_back(result.c_n[0]);
    state_index.push_back(result.state_index);
    const auto d = options.hidden_sizes()[l];
    window.input = result.h[0];
    if (out.locked_mask.defined()) window.input = window.input * out.locked_mask.narrow(1, column, d);
    column += d;
    window.index = torch::Tensor();
  }
  out.z = torch::zeros({steps, batch, 0}, start.z.options());
  out.state.z = start.z;
  out.state_index = torch::cat(state_index);
  return out;
}

}  // namespace hmrnn
