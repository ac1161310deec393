#include "bench/flops.h"

#include "bench/contest.h"
#include "hmrnn/analysis/operations.h"

namespace bench {

namespace {

/// Active row-steps of each layer.
std::vector<double> active_row_steps(const torch::Tensor& z) {
  const auto counts = hmrnn::update_counts(z, torch::zeros_like(z[0]), kLayers);
  return {counts.data_ptr<double>(), counts.data_ptr<double>() + kLayers};
}

double product(double rows, int64_t out, int64_t in) {
  return 2.0 * rows * static_cast<double>(out) * static_cast<double>(in);
}

}  // namespace

double hm_lstm_pass(const torch::Tensor& z, int64_t units, int64_t input_size, int64_t input_rows) {
  const auto active = active_row_steps(z);
  const auto fires = [&](int64_t layer, int64_t steps) {  // among the first `steps`
    return z.narrow(0, 0, steps).select(2, layer).sum(torch::kFloat64).item<double>();
  };
  double sum = product(static_cast<double>(input_rows), 4 * units, input_size);
  for (int64_t l = 0; l < kLayers; ++l) {
    sum += product(active[l], 4 * units, units);
    if (l > 0) sum += product(fires(l - 1, z.size(0)), 4 * units, units);
    if (l + 1 < kLayers) sum += product(fires(l, z.size(0) - 1), 4 * units, units);
  }
  return sum;
}

double lstm_pass(int64_t steps, int64_t units, int64_t input_size, int64_t input_rows) {
  return product(static_cast<double>(input_rows), 4 * units, input_size) +
         product(static_cast<double>(steps * (2 * kLayers - 1)), 4 * units, units);
}

double output_module(const torch::Tensor& z, int64_t steps, int64_t units, int64_t output_size, int64_t vocabulary) {
  double states = static_cast<double>(kLayers * steps);
  if (z.defined()) {
    states = 0;
    for (const auto active : active_row_steps(z)) states += active;
  }
  return 2 * product(states, output_size, units) + product(static_cast<double>(kLayers * steps), output_size, units) +
         3 * product(static_cast<double>(steps), vocabulary, output_size);
}

}  // namespace bench
