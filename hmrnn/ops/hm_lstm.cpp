#include "hmrnn/ops/hm_lstm.h"

namespace hmrnn {

WindowResult hm_lstm(const std::vector<LayerParameters>& layers, const WindowInput& window, const BoundaryRule& rule,
                     std::optional<torch::ScalarType> product_dtype, double eps) {
  (void)product_dtype;
  const auto input = window.index.defined() ? torch::embedding(window.input, window.index) : window.input;
  return reference_window(layers, input, window.h0, window.c0, window.z0, rule, window.lengths, eps);
}

}  // namespace hmrnn
