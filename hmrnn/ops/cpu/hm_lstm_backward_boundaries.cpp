// The part of the backward pass that the gradients of the boundaries need: before the time loop, products that are not
// on the tape but that dL/dz needs, computed in batches (a step did not use them, but would have used them with the
// other z); at each step, the gradients through the boundary's pre-activation.

#include "hmrnn/ops/cpu/hm_lstm_backward.h"

namespace hmrnn::cpu {

template <class T, class P>
void Backward<T, P>::multiply_extra(ExtraProducts& extra, Product<P>& matrix, const std::vector<const P*>& x, T eps,
                                    bool norm) {
  const auto n = static_cast<int64_t>(x.size());
  extra.raw = at::empty({n, row_stride<P>(matrix.out())}, products_);
  extra.stats = at::empty({n, 2}, options_);
  matrix.forward(n, x.data(), extra.raw.template data_ptr<P>(), row_stride<P>(matrix.out()));
  if (!norm) return;
  for_rows(n, n * matrix.out(), [&](int64_t i, int64_t) {
    *row_of<Moments<T>>(extra.stats, i, 1) =
        k_.moments(matrix.out(), raw_row<P>(extra.raw, i, matrix.out()), eps, nullptr);
  });
}

template <class T, class P>
void Backward<T, P>::boundary_terms() {
  for (int64_t l = 0; l < L_; ++l) {
    const auto& y = layers_[l];
    auto& tape = tape_[l];
    auto& s = layer_[l];
    const auto* position = tape.position.template data_ptr<int32_t>();
    const auto* slot_w = tape.slot_w.template data_ptr<int32_t>();
    const auto* slot_v = tape.slot_v.template data_ptr<int32_t>();
    std::vector<const P*> x;
    if (l > 0) {  // BU at FLUSH with z_below = 0
      s.extra_w.row.assign(s.n, -1);
      for (int64_t i = 0; i < s.n; ++i) {
        const int64_t t = position[i] / B_, b = position[i] % B_;
        if (slot_w[i] >= 0 || !useful(t, b, l - 1)) continue;
        s.extra_w.row[i] = static_cast<int32_t>(x.size());
        x.push_back(shown(t, l - 1, b));
      }
      multiply_extra(s.extra_w, weights_.bottom_up[l], x, y.cell.eps, y.w_gain != nullptr);
    }
    if (!y.top()) {  // TD at UPDATE, once per state above, for states that no FLUSH has read
      // row: per state above (slot + B, or b for the initial ones): row of raw_v, or -2 - row of the extra ones, or -1
      auto& row = s.extra_v.row;
      row.assign(layer_[l + 1].n + B_, -1);
      const auto above = [&](int64_t t, int64_t b) {
        const int32_t k = slot(l + 1, t - 1, b);
        return k < 0 ? b : k + B_;
      };
      for (int64_t i = 0; i < s.n; ++i) {
        if (slot_v[i] >= 0) row[above(position[i] / B_, position[i] % B_)] = slot_v[i];
      }
      x.clear();
      for (int64_t i = 0; i < s.n; ++i) {
        const int64_t t = position[i] / B_, b = position[i] % B_;
        if (slot_v[i] >= 0 || row[above(t, b)] != -1 || !useful(t - 1, b, l)) continue;
        row[above(t, b)] = -2 - static_cast<int32_t>(x.size());
        x.push_back(shown(t - 1, l + 1, b));
      }
      multiply_extra(s.extra_v, weights_.top_down[l], x, y.cell.eps, y.v_gain != nullptr);
    }
    // R(h) of states that have a COPY step and do not end in the window
    x.clear();
    s.extra_u.row.assign(B_, -1);
    for (int64_t b = mine_.begin; b < mine_.end; ++b) {
      const int64_t last = (lengths_.empty() ? T_ : std::min(T_, lengths_[b])) - 1;
      if (last < 0 || slot(l, last, b) != slot(l, last - 1, b)) continue;
      s.extra_u.row[b] = static_cast<int32_t>(x.size());
      x.push_back(operand(last, l, b));
    }
    multiply_extra(s.extra_u, weights_.recurrent[l], x, y.cell.eps, y.u_gain != nullptr);
  }
}

/// The gradients through the boundary's pre-activation, of the states and of the boundary rows of the weights: scaled
/// vectors, no product. (The first layer's w_z: input_boundary_gradient.)
template <class T, class P>
void Backward<T, P>::boundary_row(int64_t t, int64_t l, int64_t b, int64_t thread) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  const T d_pre = s.d_pre.template data_ptr<T>()[t * B_ + b];
  if (d_pre == T(0)) return;
  auto& sums = s.sums[thread];
  const auto operation = operation_of(t, l, b);
  k_.axpy(y.d, d_pre, y.u_z(), row_of<T>(s.dh, b, y.d));
  k_.axpy(y.d, d_pre, h_at(t - 1, l, b), sums.u_z.data());
  if (l > 0 && operation.bottom_up) {
    k_.axpy(y.below, d_pre, y.w_z(), row_of<T>(layer_[l - 1].dh, b, y.below));
    k_.axpy(y.below, d_pre, h_at(t, l - 1, b), sums.w_z.data());
  }
  if (operation.flush) {
    k_.axpy(y.above, d_pre, y.v_z(), row_of<T>(layer_[l + 1].dh, b, y.above));
    k_.axpy(y.above, d_pre, h_at(t - 1, l + 1, b), sums.v_z.data());
  }
}

/// Of a layer with a detector.
template <class T, class P>
rules::Operation Backward<T, P>::operation_of(int64_t t, int64_t l, int64_t b) {
  const T* z = result_.z.template const_data_ptr<T>();
  const T* before =
      t > 0 ? z + ((t - 1) * B_ + b) * (L_ - 1) + l : a_.window.z0.template const_data_ptr<T>() + b * (L_ - 1) + l;
  return rules::operation<T>(l > 0 ? z + (t * B_ + b) * (L_ - 1) + l - 1 : nullptr, before);
}

#define HMRNN_INSTANTIATE(T, P)                   \
  template void Backward<T, P>::boundary_terms(); \
  template void Backward<T, P>::boundary_row(int64_t, int64_t, int64_t, int64_t);
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cpu
