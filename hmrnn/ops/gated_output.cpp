#include "hmrnn/ops/gated_output.h"

namespace hmrnn {

torch::Tensor reference_gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& gates,
                                     const std::vector<torch::Tensor>& embedding) {
  const auto gate = torch::sigmoid(torch::matmul(torch::cat(h, -1), gates.t()));  // [T, B, L]
  torch::Tensor sum;
  for (size_t l = 0; l < h.size(); ++l) {
    const auto term = gate.narrow(-1, static_cast<int64_t>(l), 1) * torch::matmul(h[l], embedding[l].t());
    sum = l == 0 ? term : sum + term;
  }
  return torch::relu(sum);
}

torch::Tensor gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                           const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                           std::optional<torch::ScalarType> product_dtype) {
  (void)state_index;
  (void)product_dtype;
  return reference_gated_output(h, gates, embedding);
}

}  // namespace hmrnn
