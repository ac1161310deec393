// One step of one layer for one row, in plain loops over double: `if` chooses the operation, as in the paper's table,
// and the arithmetic uses nothing of LibTorch or hmrnn.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "hmrnn/ops/reference.h"
#include "support/tensors.h"

namespace hmrnn::test {

using Vector = std::vector<double>;

struct ScalarStep {
  Vector h, c;
  double probability = 0;  ///< hardσ(s) of the boundary row; 0 at the top
};

inline double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

/// Normalises the first `count` elements of x, with eps 1e-5.
inline void scalar_norm(Vector& x, size_t count, const NormParameters& norm) {
  if (!norm.weight.defined()) return;
  const auto gain = values(norm.weight), shift = values(norm.bias);
  double mean = 0, variance = 0;
  for (size_t k = 0; k < count; ++k) mean += x[k] / static_cast<double>(count);
  for (size_t k = 0; k < count; ++k) variance += (x[k] - mean) * (x[k] - mean) / static_cast<double>(count);
  for (size_t k = 0; k < count; ++k) x[k] = (x[k] - mean) / std::sqrt(variance + 1e-5) * gain[k] + shift[k];
}

/// M x, with its 4d gate rows normalised.
inline Vector scalar_product(const torch::Tensor& matrix, const Vector& x, const NormParameters& norm, size_t gates) {
  const auto m = values(matrix);
  Vector y(matrix.size(0), 0.0);
  for (size_t r = 0; r < y.size(); ++r)
    for (size_t k = 0; k < x.size(); ++k) y[r] += m[r * x.size() + k] * x[k];
  scalar_norm(y, gates, norm);
  return y;
}

inline ScalarStep scalar_step(const LayerParameters& layer, const Vector& below, bool z_below, const Vector& h,
                              const Vector& c, bool z, const Vector& above, double slope) {
  const size_t d = h.size();
  const bool top = !layer.top_down.defined();
  auto s = scalar_product(layer.recurrent, h, layer.recurrent_norm, 4 * d);
  const auto bias = values(layer.bias);
  for (size_t r = 0; r < s.size(); ++r) s[r] += bias[r];
  const auto add = [&](const Vector& term) {
    for (size_t r = 0; r < s.size(); ++r) s[r] += term[r];
  };
  if (!top && z) add(scalar_product(layer.top_down, above, layer.top_down_norm, 4 * d));
  if (z_below) add(scalar_product(layer.bottom_up, below, layer.bottom_up_norm, 4 * d));

  ScalarStep out{h, c};
  if (!top) out.probability = std::max(0.0, std::min(1.0, (slope * s[4 * d] + 1) / 2));
  const bool flush = !top && z, update = !flush && z_below;
  if (!flush && !update) return out;  // COPY
  for (size_t k = 0; k < d; ++k) {
    const double written = sigmoid(s[d + k]) * std::tanh(s[3 * d + k]);
    out.c[k] = flush ? written : sigmoid(s[k]) * c[k] + written;
  }
  auto shown = out.c;
  scalar_norm(shown, d, layer.cell_norm);
  for (size_t k = 0; k < d; ++k) out.h[k] = sigmoid(s[2 * d + k]) * std::tanh(shown[k]);
  return out;
}

}  // namespace hmrnn::test
