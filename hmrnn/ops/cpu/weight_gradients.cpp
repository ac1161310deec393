// The gradients of parameters, input and initial state after the walk: one product a matrix over all active row-steps.

#include "hmrnn/ops/cpu/backward_pass.h"

namespace hmrnn::cpu {

template <class T, class P>
HMLSTMGradients Backward<T, P>::finish() {
  HMLSTMGradients g;
  for (int64_t l = 0; l < L_; ++l) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    for (size_t i = 1; i < s.sums.size(); ++i) s.sums[0].add(s.sums[i]);
    auto& sums = s.sums[0];
    g.recurrent.push_back(at::zeros_like(a_.recurrent[l], options_));
    g.bottom_up.push_back(at::zeros_like(a_.bottom_up[l], options_));
    if (!y.top()) g.top_down.push_back(at::zeros_like(a_.top_down[l], options_));
    recurrent_gradient(l, g.recurrent[l].template data_ptr<T>());
    if (l == 0) {
      g.input = input_gradient(g.bottom_up[0].template data_ptr<T>());
    } else {
      bottom_up_gradient(l, g.bottom_up[l].template data_ptr<T>());
    }
    if (!y.top()) top_down_gradient(l, g.top_down[l].template data_ptr<T>());
    g.bias.push_back(sums.bias_tensor(y.top() ? 4 * y.d : 4 * y.d + 1, options_));
    if (a_.layer_norm()) sums.append_norms(y.top(), options_, g.norm_weight, g.norm_bias);
    g.h0.push_back(s.dh);
    g.c0.push_back(s.dc);
  }
  if (detect_) {
    g.z0 = at::empty({B_, L_ - 1}, options_);
    for (int64_t l = 0; l + 1 < L_; ++l) {
      for (int64_t b = 0; b < B_; ++b) g.z0.template data_ptr<T>()[b * (L_ - 1) + l] = layer_[l].dz[b];
    }
  }
  return g;
}

/// Rows x(slot), of P, of the slots that `chosen` says, in slot order.
template <class T, class P>
template <class X>
at::Tensor Backward<T, P>::gather(int64_t l, int64_t n, int64_t width, const int32_t* chosen, X x) {
  auto out = at::empty({n, width}, products_);
  const auto* position = tape_[l].position.template data_ptr<int32_t>();
  std::vector<int32_t> slots;
  slots.reserve(n);
  for (int32_t i = 0; i < layer_[l].n; ++i) {
    if (chosen == nullptr || chosen[i] >= 0) slots.push_back(i);
  }
  for_rows(n, n * width, [&](int64_t i, int64_t) {
    const int64_t at = position[slots[i]];
    copy_row(row_of<P>(out, i, width), x(at / B_, at % B_), width);
  });
  return out;
}

template <class T, class P>
void Backward<T, P>::recurrent_gradient(int64_t l, T* grad) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  const P* du = s.du.template data_ptr<P>();
  if (s.n == T_ * B_) {  // every row at every step: the states stand in order already
    u_[l].weight_gradient(B_, du, narrow_h_at(-1, l, 0), grad);
    u_[l].weight_gradient((T_ - 1) * B_, du + B_ * 4 * y.d, narrow_h_at(0, l, 0), grad);
  } else {
    const auto h = gather(l, s.n, y.d, nullptr, [&](int64_t t, int64_t b) { return narrow_h_at(t - 1, l, b); });
    u_[l].weight_gradient(s.n, du, h.template data_ptr<P>(), grad);
  }
  if (!detect_ || y.top()) return;
  const T* d_pre = s.d_pre.template data_ptr<T>();  // row z: Σ ds_z h_{t-1}
  T* row_z = grad + 4 * y.d * y.d;
  gemm<T>(false, false, 1, y.d, B_, d_pre, B_, h_at(-1, l, 0), y.d, T(1), row_z, y.d);
  gemm<T>(false, false, 1, y.d, (T_ - 1) * B_, d_pre + B_, (T_ - 1) * B_, h_at(0, l, 0), y.d, T(1), row_z, y.d);
}

template <class T, class P>
void Backward<T, P>::bottom_up_gradient(int64_t l, T* grad) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  const auto n = count(l, 1);
  const auto* slot_w = tape_[l].slot_w.template data_ptr<int32_t>();
  const P* dw = s.dw.template data_ptr<P>();
  if (n == T_ * B_) {
    w_[l].weight_gradient(n, dw, narrow_h_at(0, l - 1, 0), grad);
  } else {
    const auto x = gather(l, n, y.below, slot_w, [&](int64_t t, int64_t b) { return narrow_h_at(t, l - 1, b); });
    w_[l].weight_gradient(n, dw, x.template data_ptr<P>(), grad);
  }
  if (!detect_ || y.top()) return;
  const auto gated = (s.d_pre * result_.z.select(2, l - 1)).contiguous();
  gemm<T>(false, false, 1, y.below, T_ * B_, gated.template data_ptr<T>(), T_ * B_, h_at(0, l - 1, 0), y.below, T(1),
          grad + 4 * y.d * y.below, y.below);
}

template <class T, class P>
void Backward<T, P>::top_down_gradient(int64_t l, T* grad) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  const auto n = count(l, 2);
  const auto* slot_v = tape_[l].slot_v.template data_ptr<int32_t>();
  const auto h = gather(l, n, y.above, slot_v, [&](int64_t t, int64_t b) { return narrow_h_at(t - 1, l + 1, b); });
  v_[l].weight_gradient(n, s.dv.template data_ptr<P>(), h.template data_ptr<P>(), grad);
  if (!detect_) return;
  const auto before = at::cat({a_.z0.unsqueeze(0), result_.z.narrow(0, 0, T_ - 1)}).select(2, l);
  const auto gated = (s.d_pre * before).contiguous();
  const T* d_pre = gated.template data_ptr<T>();
  T* row_z = grad + 4 * y.d * y.above;
  gemm<T>(false, false, 1, y.above, B_, d_pre, B_, h_at(-1, l + 1, 0), y.above, T(1), row_z, y.above);
  gemm<T>(false, false, 1, y.above, (T_ - 1) * B_, d_pre + B_, (T_ - 1) * B_, h_at(0, l + 1, 0), y.above, T(1), row_z,
          y.above);
}

/// Gradient of the first layer's input (table or sequence); adds that of its matrix to `grad`.
template <class T, class P>
at::Tensor Backward<T, P>::input_gradient(T* grad) {
  const auto& y = layers_[0];
  auto& s = layer_[0];
  auto& sums = s.sums[0];
  const auto rows = a_.input.numel() / y.below;
  const T* x = a_.input.template const_data_ptr<T>();
  const auto d_raw = a_.index ? at::empty({rows, 4 * y.d}, products_) : s.dw;
  if (a_.index && y.w_gain == nullptr) {
    d_raw.copy_(table_ds_);
  } else if (a_.index) {
    // One layer-norm backward per row of the table, over the sum of its steps' ds (LN is the same at each of them).
    for (int64_t r = 0; r < rows; ++r) {
      k_.term_backward(4 * y.d, row_of<T>(table_ds_, r, 4 * y.d),
                       term(tape_[0].raw_w, tape_[0].stats_w, r, 4 * y.d, y.w_gain, y.w_bias),
                       row_of<P>(d_raw, r, 4 * y.d), sums.w_gain.data(), sums.w_bias_or_null());
    }
  }
  auto product = at::empty({rows, y.below}, products_);
  w_[0].backward(rows, d_raw.template data_ptr<P>(), product.template data_ptr<P>());
  auto out = product.to(options_.dtype());
  const auto narrow_input = a_.input.to(products_.dtype());
  w_[0].weight_gradient(rows, d_raw.template data_ptr<P>(), narrow_input.template const_data_ptr<P>(), grad);
  if (detect_ && !y.top()) {
    auto d_pre = s.d_pre.reshape({T_ * B_});
    if (a_.index) d_pre = at::zeros({rows}, options_).index_add_(0, a_.index->reshape({-1}), d_pre);
    const T* p = d_pre.template const_data_ptr<T>();
    for (int64_t r = 0; r < rows; ++r) {
      k_.axpy(y.below, p[r], y.w_z(), row_of<T>(out, r, y.below));
    }
    gemm<T>(false, false, 1, y.below, rows, p, rows, x, y.below, T(1), grad + 4 * y.d * y.below, y.below);
  }
  return out.view(a_.input.sizes());
}

template HMLSTMGradients Backward<float, float>::finish();
template HMLSTMGradients Backward<float, c10::BFloat16>::finish();
template HMLSTMGradients Backward<double, double>::finish();

}  // namespace hmrnn::cpu
