#include "hmrnn/models/handwriting_model.h"

namespace hmrnn {

namespace {
constexpr int64_t kFeatures = 3;  // x, y, pen
}

HandwritingModelImpl::HandwritingModelImpl(const HandwritingOptions& options_) : options(options_) { reset(); }

void HandwritingModelImpl::reset() {
  if (options.core() == Core::HMLSTM) {
    hm_lstm = register_module("hm_lstm", HMLSTM(HMLSTMOptions(kFeatures, options.hidden_sizes())
                                                    .layer_norm(options.layer_norm())
                                                    .boundary(options.boundary())
                                                    .slope(options.slope())
                                                    .forget_bias(options.forget_bias())
                                                    .boundary_bias(options.boundary_bias())));
  } else {
    lstm = register_module("lstm", StackedLSTM(StackedLSTMOptions(kFeatures, options.hidden_sizes())
                                                   .layer_norm(options.layer_norm())
                                                   .forget_bias(options.forget_bias())));
  }
  output = register_module("output",
                           OutputModule(OutputModuleOptions(options.hidden_sizes(), options.output_embedding_size())));
  mixture = register_module(
      "mixture", MixtureDensity(MixtureDensityOptions(options.output_embedding_size()).mixtures(options.mixtures())));
  dropout = register_module("dropout", torch::nn::Dropout(options.dropout()));
}

void HandwritingModelImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::HandwritingModel(hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", core=" << to_string(options.core()) << ", mixtures=" << options.mixtures() << ")";
}

HandwritingOutput HandwritingModelImpl::forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state,
                                                const HMLSTMCall& call) {
  HandwritingOutput out;
  out.core = hm_lstm.is_empty() ? lstm->forward(input, state, call) : hm_lstm->forward(input, state, call);
  out.raw = mixture(dropout(output(out.core.h, out.core.state_index)));
  return out;
}

HMLSTMState HandwritingModelImpl::initial_state(int64_t batch) const {
  return hm_lstm.is_empty() ? lstm->initial_state(batch) : hm_lstm->initial_state(batch);
}

void HandwritingModelImpl::set_slope(double slope) {
  if (!hm_lstm.is_empty()) hm_lstm->set_slope(slope);
}

double HandwritingModelImpl::slope() const { return hm_lstm.is_empty() ? 1.0 : hm_lstm->slope(); }

void HandwritingModelImpl::set_product_dtype(std::optional<torch::ScalarType> dtype) {
  if (!hm_lstm.is_empty()) hm_lstm->set_product_dtype(dtype);
  if (!lstm.is_empty()) lstm->set_product_dtype(dtype);
  output->set_product_dtype(dtype);
}

torch::Tensor handwriting_loss(const torch::Tensor& raw, const torch::Tensor& target, const torch::Tensor& weight) {
  TORCH_CHECK(!weight.defined() || weight.sizes() == raw.sizes().slice(0, raw.dim() - 1),
              "handwriting_loss: weight must have shape ", raw.sizes().slice(0, raw.dim() - 1), ", got ",
              weight.defined() ? c10::str(weight.sizes()) : "nothing");
  const auto each = mixture_log_density(read_mixture(raw), target).neg();
  return weight.defined() ? (each * weight).sum() / weight.sum() : each.mean();
}

}  // namespace hmrnn
