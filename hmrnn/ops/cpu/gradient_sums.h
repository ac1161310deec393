#pragma once

#include <ATen/ATen.h>

#include <array>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "hmrnn/ops/cpu/aligned_vector.h"
#include "hmrnn/ops/reference.h"

namespace hmrnn::cpu {

/// One thread's sums over the steps of one layer of d units: gradients of biases, of the layer norms, and of the
/// boundary's rows of the weights. Without layer norm only `ds` and the boundary's are used.
template <class T>
struct GradientSums {
  std::array<AlignedVector<T>, 4> ds;  ///< [4d] Σ ds by LayerView::bias_index: the biases' gradients are sums of these
  T bias_z = T(0);                     ///< Σ ds_z
  AlignedVector<T> u_gain, w_gain, v_gain;  ///< [4d]
  AlignedVector<T> cell_gain, cell_bias;    ///< [d]
  AlignedVector<T> u_z, w_z, v_z;  ///< Σ ds_z times h [d], x [below], h^ [above], where they are part of the sum

  GradientSums(int64_t d, int64_t below, int64_t above, bool layer_norm)
      : u_z(d, T(0)), w_z(below, T(0)), v_z(above, T(0)) {
    for (auto& x : ds) x.assign(4 * d, T(0));
    if (!layer_norm) return;
    for (auto* x : {&u_gain, &w_gain, &v_gain}) x->assign(4 * d, T(0));
    for (auto* x : {&cell_gain, &cell_bias}) x->assign(d, T(0));
  }

  void add(const GradientSums& other) {
    for (size_t k = 0; k < ds.size(); ++k) plus(ds[k], other.ds[k]);
    bias_z += other.bias_z;
    plus(u_gain, other.u_gain), plus(w_gain, other.w_gain), plus(v_gain, other.v_gain);
    plus(cell_gain, other.cell_gain), plus(cell_bias, other.cell_bias);
    plus(u_z, other.u_z), plus(w_z, other.w_z), plus(v_z, other.v_z);
  }

  /// The gradient of b, of `rows` values: 4d, or 4d+1 with the boundary's.
  at::Tensor bias_tensor(int64_t rows, at::TensorOptions options) const {
    auto out = tensor(sum({0, 1, 2, 3}), rows, options);
    if (rows > static_cast<int64_t>(ds[0].size())) out.template data_ptr<T>()[rows - 1] = bias_z;
    return out;
  }

  /// Sets the gradients of the layer's norms.
  void set_norms(at::TensorOptions options, LayerParameters& g) const {
    const auto norm = [&](const AlignedVector<T>& gain, const AlignedVector<T>& b) {
      return NormParameters{tensor(gain, static_cast<int64_t>(gain.size()), options),
                            tensor(b, static_cast<int64_t>(b.size()), options)};
    };
    g.recurrent_norm = norm(u_gain, sum({0, 1, 2, 3}));
    g.bottom_up_norm = norm(w_gain, sum({1, 3}));
    if (g.top_down.defined()) g.top_down_norm = norm(v_gain, sum({2, 3}));
    g.cell_norm = norm(cell_gain, cell_bias);
  }

 private:
  static void plus(AlignedVector<T>& a, const AlignedVector<T>& b) {
    for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  }
  static at::Tensor tensor(const AlignedVector<T>& x, int64_t size, at::TensorOptions options) {
    auto out = at::empty({size}, options);
    std::memcpy(out.data_ptr(), x.data(), x.size() * sizeof(T));
    return out;
  }
  AlignedVector<T> sum(std::initializer_list<int> operations) const {
    AlignedVector<T> out(ds[0].size(), T(0));
    for (const int k : operations) plus(out, ds[k]);
    return out;
  }
};

}  // namespace hmrnn::cpu
