#include "hmrnn/nn/stacked_lstm.h"

#include "hmrnn/nn/window_checks.h"

namespace hmrnn {

StackedLSTMImpl::StackedLSTMImpl(const StackedLSTMOptions& options_) : options(options_) {
  TORCH_CHECK(!options.hidden_sizes().empty(), "StackedLSTM: hidden_sizes must name at least one layer");
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
         << ", layer_norm=" << (options.layer_norm() ? "true" : "false") << ")";
}

HMLSTMState StackedLSTMImpl::initial_state(int64_t batch) const {
  return HMLSTMState::zeros(batch, options.hidden_sizes(), 0,
                            layers->ptr(0)->as<HMLSTMCell>()->bias.options().requires_grad(false));
}

HMLSTMOutput StackedLSTMImpl::forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state,
                                      const HMLSTMCall& call) {
  return run(sequence_window("StackedLSTM", input, options.input_size()), state, call);
}

HMLSTMOutput StackedLSTMImpl::forward_indexed(const torch::Tensor& table, const torch::Tensor& index,
                                              const std::optional<HMLSTMState>& state, const HMLSTMCall& call) {
  return run(table_window("StackedLSTM", table, index, options.input_size()), state, call);
}

HMLSTMOutput StackedLSTMImpl::run(WindowInput window, const std::optional<HMLSTMState>& state, const HMLSTMCall& call) {
  const auto steps = window_steps(window), batch = window_batch(window);
  const auto start = state && state->defined() ? *state : initial_state(batch);
  check_window("StackedLSTM", window, start, call, options.hidden_sizes(), 0, layers->ptr(0)->as<HMLSTMCell>()->bias);
  BoundaryRule rule;
  rule.slope = torch::ones({}, start.z.options());
  window.z0 = start.z;
  window.lengths = call.lengths;
  HMLSTMOutput out;
  std::vector<torch::Tensor> state_index;
  for (int64_t l = 0; l < num_layers(); ++l) {
    window.h0 = {start.h[l]};
    window.c0 = {start.c[l]};
    auto result =
        hm_lstm({layers->ptr(l)->as<HMLSTMCell>()->parameters_of_layer()}, window, rule, product_dtype_, options.eps());
    out.h.push_back(result.h[0]);
    out.state.h.push_back(result.h[0][steps - 1].clone());  // see HMLSTM
    out.state.c.push_back(result.c_n[0]);
    state_index.push_back(result.state_index);
    window.input = result.h[0];
    window.index = torch::Tensor();
  }
  out.z = torch::zeros({steps, batch, 0}, start.z.options());
  out.state.z = start.z;
  out.state_index = torch::cat(state_index);
  return out;
}

}  // namespace hmrnn
