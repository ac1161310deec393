#include "hmrnn/models/handwriting_model.h"

#include "hmrnn/models/copy_weights.h"

namespace hmrnn {

namespace {
constexpr int64_t kFeatures = 3;  // x, y, pen
}

HandwritingModelImpl::HandwritingModelImpl(const HandwritingOptions& options_) : options(options_) { reset(); }

void HandwritingModelImpl::reset() {
  register_core(kFeatures, options);
  register_output(options, /*classes=*/0);
  mixture = register_module(
      "mixture", MixtureDensity(MixtureDensityOptions(options.output_embedding_size()).mixtures(options.mixtures())));
}

void HandwritingModelImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::HandwritingModel(hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", core=" << to_string(options.core()) << ", mixtures=" << options.mixtures() << ")";
}

HandwritingOutput HandwritingModelImpl::forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state,
                                                const HMLSTMCall& call) {
  HandwritingOutput out;
  out.core = hm_lstm.is_empty() ? lstm->forward(input, state, call) : hm_lstm->forward(input, state, call);
  out.raw = mixture(dropout(output(out.core.shown(), out.core.state_index)));
  return out;
}

void init_from(HandwritingModel model, const HandwritingModel& source) {
  copy_weights(*model, *source, [](const std::string&) { return false; });
  model->set_slope(source->slope());
}

torch::Tensor handwriting_loss(const torch::Tensor& raw, const torch::Tensor& target, const torch::Tensor& weight) {
  TORCH_CHECK(!weight.defined() || weight.sizes() == raw.sizes().slice(0, raw.dim() - 1),
              "handwriting_loss: weight must have shape ", raw.sizes().slice(0, raw.dim() - 1), ", got ",
              weight.defined() ? c10::str(weight.sizes()) : "nothing");
  const auto each = mixture_log_density(read_mixture(raw), target).neg();
  return weight.defined() ? (each * weight).sum() / weight.sum() : each.mean();
}

}  // namespace hmrnn
