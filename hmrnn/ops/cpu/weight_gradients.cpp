// The gradients of parameters, input and initial state after the walk: one product a matrix over all active row-steps.

#include <algorithm>

#include "hmrnn/ops/cpu/backward_pass.h"

namespace hmrnn::cpu {

/// The sums of all threads in one place; dL/ds_z of the first layer per row of its table.
template <class T, class P>
void Backward<T, P>::close() {
  for (auto& s : layer_) {
    for (size_t i = 1; i < s.sums.size(); ++i) s.sums[0].add(s.sums[i]);
  }
  if (!a_.index || !detect_) return;
  table_d_pre_.assign(a_.input.size(0), T(0));
  const T* d_pre = layer_[0].d_pre.template const_data_ptr<T>();
  const auto* index = a_.index->template const_data_ptr<int64_t>();
  for (int64_t t = 0; t < T_; ++t) {
    for (int64_t b = 0; b < B_; ++b) table_d_pre_[index[t * B_ + b]] += d_pre[t * B_ + b];
  }
}

template <class T, class P>
HMLSTMGradients Backward<T, P>::gradients() {
  HMLSTMGradients g;
  // The last row is the boundary's, to which finish_sums adds; the others are overwritten.
  const auto unset = [](const std::vector<at::Tensor>& list) {
    std::vector<at::Tensor> out;
    for (const auto& x : list) {
      out.push_back(at::empty_like(x, x.options().requires_grad(false)));
      out.back().narrow(0, x.size(0) - 1, 1).zero_();
    }
    return out;
  };
  g.recurrent = unset(a_.recurrent), g.bottom_up = unset(a_.bottom_up), g.top_down = unset(a_.top_down);
  weight_gradients(g);
  g.input = input_gradient(g);
  finish_sums(g);
  for (const auto& s : layer_) g.h0.push_back(s.dh), g.c0.push_back(s.dc);
  g.z0 = z0_gradient();
  return g;
}

template <class T, class P>
void Backward<T, P>::finish_sums(HMLSTMGradients& g) {
  for (int64_t l = 0; l < L_; ++l) {
    const auto& y = layers_[l];
    const auto& sums = layer_[l].sums[0];
    g.bias.push_back(sums.bias_tensor(y.top() ? 4 * y.d : 4 * y.d + 1, options_));
    if (a_.layer_norm()) sums.append_norms(y.top(), options_, g.norm_weight, g.norm_bias);
    if (!detect_ || y.top()) continue;
    k_.axpy(y.d, T(1), sums.u_z.data(), g.recurrent[l].template data_ptr<T>() + 4 * y.d * y.d);
    if (l > 0) k_.axpy(y.below, T(1), sums.w_z.data(), g.bottom_up[l].template data_ptr<T>() + 4 * y.d * y.below);
    k_.axpy(y.above, T(1), sums.v_z.data(), g.top_down[l].template data_ptr<T>() + 4 * y.d * y.above);
  }
}

template <class T, class P>
at::Tensor Backward<T, P>::z0_gradient() const {
  if (!detect_) return {};
  auto out = at::empty({B_, L_ - 1}, options_);
  for (int64_t l = 0; l + 1 < L_; ++l) {
    for (int64_t b = 0; b < B_; ++b) out.template data_ptr<T>()[b * (L_ - 1) + l] = layer_[l].dz[b];
  }
  return out;
}

/// One product a matrix, over the states where they lie.
template <class T, class P>
void Backward<T, P>::weight_gradients(HMLSTMGradients& g) {
  std::vector<const P*> states;
  // x(t, b): of the slots that `chosen` says, in slot order
  const auto product = [&](Product<P>& matrix, const at::Tensor& d_raw, at::Tensor& grad, int64_t l,
                           const at::Tensor* chosen, auto x) {
    const auto* position = tape_[l].position.template data_ptr<int32_t>();
    const auto* rows = chosen != nullptr ? chosen->template data_ptr<int32_t>() : nullptr;
    states.clear();
    for (int64_t i = 0; i < layer_[l].n; ++i) {
      if (rows == nullptr || rows[i] >= 0) states.push_back(x(position[i] / B_, position[i] % B_));
    }
    matrix.weight_gradient(d_raw.size(0), d_raw.template data_ptr<P>(), states.data(), grad.template data_ptr<T>());
  };
  for (int64_t l = 0; l < L_; ++l) {
    product(weights_.recurrent[l], layer_[l].du, g.recurrent[l], l, nullptr,
            [&](int64_t t, int64_t b) { return narrow_h_at(t - 1, l, b); });
    if (l > 0) {
      product(weights_.bottom_up[l], layer_[l].dw, g.bottom_up[l], l, &tape_[l].slot_w,
              [&](int64_t t, int64_t b) { return narrow_h_at(t, l - 1, b); });
    }
    if (layers_[l].top()) continue;
    product(weights_.top_down[l], layer_[l].dv, g.top_down[l], l, &tape_[l].slot_v,
            [&](int64_t t, int64_t b) { return narrow_h_at(t - 1, l + 1, b); });
  }
}

/// The gradient of the first layer's input, and in `g` its bottom-up weights'.
template <class T, class P>
at::Tensor Backward<T, P>::input_gradient(HMLSTMGradients& g) {
  const auto& y = layers_[0];
  auto& s = layer_[0];
  auto& sums = s.sums[0];
  T* grad = g.bottom_up[0].template data_ptr<T>();
  const auto rows = a_.input.numel() / y.below;
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
  auto out = at::empty({rows, y.below}, options_);
  weights_.bottom_up[0].backward(rows, d_raw.template data_ptr<P>(), out.template data_ptr<T>());
  const auto narrow_input = a_.input.to(products_.dtype());
  weights_.bottom_up[0].weight_gradient(rows, d_raw.template data_ptr<P>(), narrow_input.template const_data_ptr<P>(),
                                        grad);
  if (detect_ && !y.top()) {
    const T* p = a_.index ? table_d_pre_.data() : s.d_pre.template const_data_ptr<T>();
    const T* x = a_.input.template const_data_ptr<T>();
    for (int64_t r = 0; r < rows; ++r) {
      if (p[r] == T(0)) continue;
      k_.axpy(y.below, p[r], y.w_z(), row_of<T>(out, r, y.below));
      k_.axpy(y.below, p[r], x + r * y.below, grad + 4 * y.d * y.below);
    }
  }
  return a_.index ? out : out.view({T_, B_, y.below});
}

#define HMRNN_INSTANTIATE(T, P)          \
  template void Backward<T, P>::close(); \
  template HMLSTMGradients Backward<T, P>::gradients();
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)

}  // namespace hmrnn::cpu
