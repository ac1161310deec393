#include "bench/flops.h"

#include "bench/ingredients.h"

namespace bench {

hmrnn::ProductRows rows_of(const torch::Tensor& z, int64_t steps, int64_t input_rows) {
  if (!z.defined()) return hmrnn::rows_lstm(steps, steps, kLayers, input_rows);
  return hmrnn::rows_made(z, torch::zeros_like(z[0]), kLayers, input_rows);
}

double core_pass(const torch::Tensor& z, int64_t steps, int64_t units, int64_t input_rows) {
  return hmrnn::forward_flops(rows_of(z, steps, input_rows), {kInput, std::vector<int64_t>(kLayers, units)});
}

}  // namespace bench
