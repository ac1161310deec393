#include "hmrnn/nn/output_module.h"

#include <cmath>
#include <numeric>
#include <string>

#include "hmrnn/ops/gated_output.h"

namespace hmrnn {

OutputEmbeddingImpl::OutputEmbeddingImpl(const OutputModuleOptions& options_) : options(options_) { reset(); }

void OutputEmbeddingImpl::reset() {
  const auto& sizes = options.hidden_sizes();
  for (size_t l = 0; l < sizes.size(); ++l)
    register_parameter(std::to_string(l), torch::empty({options.embedding_size(), sizes[l]}));
}

void OutputEmbeddingImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::OutputEmbedding(hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", embedding_size=" << options.embedding_size() << ")";
}

OutputModuleImpl::OutputModuleImpl(const OutputModuleOptions& options_) : options(options_) {
  TORCH_CHECK(!options.hidden_sizes().empty(), "OutputModule: hidden_sizes must name at least one layer");
  for (const auto d : options.hidden_sizes())
    TORCH_CHECK(d >= 1, "OutputModule: hidden_sizes must be at least 1, got ", options.hidden_sizes());
  TORCH_CHECK(options.embedding_size() >= 1, "OutputModule: embedding_size must be at least 1, got ",
              options.embedding_size());
  TORCH_CHECK(options.classes() >= 0, "OutputModule: classes must not be negative, got ", options.classes());
  reset();
}

void OutputModuleImpl::reset() {
  const auto& sizes = options.hidden_sizes();
  const auto total = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});
  gates = register_parameter("gates", torch::empty({static_cast<int64_t>(sizes.size()), total}));
  embedding = register_module("embedding", OutputEmbedding(options));
  if (options.classes() > 0) {
    softmax = register_module("softmax", torch::nn::Linear(options.embedding_size(), options.classes()));
  }
  reset_parameters();
}

void OutputModuleImpl::reset_parameters() {
  torch::NoGradGuard no_grad;
  const double bound = 1 / std::sqrt(static_cast<double>(gates.size(1)));
  gates.uniform_(-bound, bound);
  for (auto& weight : embedding->parameters()) weight.uniform_(-bound, bound);
  if (!softmax.is_empty()) {
    const double softmax_bound = 1 / std::sqrt(static_cast<double>(options.embedding_size()));
    softmax->weight.uniform_(-softmax_bound, softmax_bound);
    softmax->bias.uniform_(-softmax_bound, softmax_bound);
  }
}

void OutputModuleImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::OutputModule(hidden_sizes=" << at::IntArrayRef(options.hidden_sizes())
         << ", embedding_size=" << options.embedding_size() << ")";
}

torch::Tensor OutputModuleImpl::forward(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index) {
  TORCH_CHECK(h.size() == options.hidden_sizes().size(), "OutputModule: h must have ", options.hidden_sizes().size(),
              " layers, got ", h.size());
  std::vector<torch::Tensor> weights;
  for (size_t l = 0; l < h.size(); ++l) weights.push_back((*embedding)[l]);
  return gated_output(h, state_index, gates, weights, product_dtype_);
}

}  // namespace hmrnn
