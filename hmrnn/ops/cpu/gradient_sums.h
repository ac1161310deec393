#pragma once

#include <ATen/ATen.h>

#include <cstring>
#include <vector>

namespace hmrnn::cpu {

/// What one thread adds up over the steps of one layer of d units: gradients of biases, of the layer norms, and of the
/// boundary's rows of the weights. Without layer norm `bias` and the boundary's are used.
template <class T>
struct GradientSums {
  std::vector<T> bias;                    ///< [4d] Σ ds: of the bias and of the recurrent norm's bias
  T bias_z = T(0);                        ///< Σ ds_z
  std::vector<T> u_gain, w_gain, v_gain;  ///< [4d]
  std::vector<T> w_bias, v_bias;          ///< [4d] Σ ds over the steps that use the product
  std::vector<T> cell_gain, cell_bias;    ///< [d]
  std::vector<T> u_z, w_z, v_z;  ///< Σ ds_z times h [d], x [below], h^ [above], where they are part of the sum

  GradientSums(int64_t d, int64_t below, int64_t above, bool layer_norm)
      : bias(4 * d, T(0)), u_z(d, T(0)), w_z(below, T(0)), v_z(above, T(0)), norm_(layer_norm) {
    if (!layer_norm) return;
    for (auto* x : {&u_gain, &w_gain, &v_gain, &w_bias, &v_bias}) x->assign(4 * d, T(0));
    for (auto* x : {&cell_gain, &cell_bias}) x->assign(d, T(0));
  }

  T* w_bias_or_null() { return norm_ ? w_bias.data() : nullptr; }
  T* v_bias_or_null() { return norm_ ? v_bias.data() : nullptr; }

  void add(const GradientSums& other) {
    const auto plus = [](std::vector<T>& a, const std::vector<T>& b) {
      for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    };
    plus(bias, other.bias);
    bias_z += other.bias_z;
    plus(u_gain, other.u_gain), plus(w_gain, other.w_gain), plus(v_gain, other.v_gain);
    plus(w_bias, other.w_bias), plus(v_bias, other.v_bias);
    plus(cell_gain, other.cell_gain), plus(cell_bias, other.cell_bias);
    plus(u_z, other.u_z), plus(w_z, other.w_z), plus(v_z, other.v_z);
  }

  /// The gradient of b, of `rows` values: 4d, or 4d+1 with the boundary's.
  at::Tensor bias_tensor(int64_t rows, at::TensorOptions options) const {
    auto out = tensor(bias, rows, options);
    if (rows > static_cast<int64_t>(bias.size())) out.template data_ptr<T>()[rows - 1] = bias_z;
    return out;
  }

  /// Appends the layer's norms in the order of the operator's lists.
  void append_norms(bool top, at::TensorOptions options, std::vector<at::Tensor>& weight,
                    std::vector<at::Tensor>& norm_bias) const {
    const auto push = [&](const std::vector<T>& gain, const std::vector<T>& b) {
      weight.push_back(tensor(gain, static_cast<int64_t>(gain.size()), options));
      norm_bias.push_back(tensor(b, static_cast<int64_t>(b.size()), options));
    };
    push(u_gain, bias);
    push(w_gain, w_bias);
    if (!top) push(v_gain, v_bias);
    push(cell_gain, cell_bias);
  }

 private:
  static at::Tensor tensor(const std::vector<T>& x, int64_t size, at::TensorOptions options) {
    auto out = at::empty({size}, options);
    std::memcpy(out.data_ptr(), x.data(), x.size() * sizeof(T));
    return out;
  }
  bool norm_;
};

}  // namespace hmrnn::cpu
