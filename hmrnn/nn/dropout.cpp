#include "hmrnn/nn/dropout.h"

#include <limits>

namespace hmrnn {

void check_dropout(const char* module, const char* option, double p) {
  TORCH_CHECK(p >= 0 && p < 1, module, ": ", option, " must be at least 0 and below 1, got ", p);
}

torch::Tensor draw_mask(torch::IntArrayRef shape, double p, const torch::TensorOptions& options) {
  return torch::empty(shape, options.requires_grad(false)).bernoulli_(1 - p).div_(1 - p);
}

torch::Tensor draw_seeds(int64_t n, torch::Device device) {
  return torch::randint(std::numeric_limits<int64_t>::max(), {n}, torch::TensorOptions(device).dtype(torch::kInt64));
}

torch::Tensor drop_gate_weights(const torch::Tensor& recurrent, double p) {
  const auto rows = recurrent.size(0), gates = 4 * recurrent.size(1);
  auto mask = draw_mask({rows, recurrent.size(1)}, p, recurrent.options());
  if (rows > gates) mask.narrow(0, gates, rows - gates).fill_(1);
  return recurrent * mask;
}

torch::Tensor drop_symbols(const torch::Tensor& table, double p) {
  return table * draw_mask({table.size(0), 1}, p, table.options());
}

std::vector<torch::Tensor> apply_locked_mask(const std::vector<torch::Tensor>& h, const torch::Tensor& mask) {
  std::vector<torch::Tensor> out;
  int64_t column = 0;
  for (const auto& x : h) {
    out.push_back(x * mask.narrow(1, column, x.size(2)));
    column += x.size(2);
  }
  return out;
}

}  // namespace hmrnn
