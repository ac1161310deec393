// The gradients that are left after the steps: sums over threads, the first layer's table, boundary rows.

#include <algorithm>

#include "hmrnn/ops/cpu/for_tasks.h"
#include "hmrnn/ops/cpu/hm_lstm_backward.h"

namespace hmrnn::cpu {

template <class T, class P>
void Backward<T, P>::add(const Backward& later) {
  for (int64_t l = 0; l < L_; ++l) {
    auto& s = layer_[l];
    s.sums[0].add(later.layer_[l].sums[0]);
  }
  if (table_ds_.defined()) {
    k_.axpy(table_ds_.numel(), T(1), later.table_ds_.template const_data_ptr<T>(), table_ds_.template data_ptr<T>());
  }
}

template <class T, class P>
void Backward<T, P>::weight_gradients(std::span<Backward* const> passes) {
  auto& all = *passes[0];
  constexpr int64_t kRows = 256;  // rows of the gradient per task; each task packs the states again
  struct Task {
    int64_t l;
    int which;  // kU, kW, kV
    int64_t first, rows;
  };
  std::vector<Task> tasks;
  for (int64_t l = 0; l < all.L_; ++l) {
    for (int which = 0; which < static_cast<int>(all.layer_[l].weight.size()); ++which) {
      if (which == kW && l == 0 && all.a_.indexed()) continue;  // table_gradient
      const int64_t out = 4 * all.layers_[l].d;
      for (int64_t first = 0; first < out; first += kRows) {
        tasks.push_back({l, which, first, std::min(kRows, out - first)});
      }
    }
  }
  const int64_t table = all.a_.indexed() ? 1 : 0;
  for_tasks(table + static_cast<int64_t>(tasks.size()), [&](int64_t i) {
    if (i < table) return all.table_gradient();
    const auto& [l, which, first, rows] = tasks[i - table];
    const auto& g = all.g_.layers[l];
    T* gradient = (which == kU ? g.recurrent : which == kW ? g.bottom_up : g.top_down).template data_ptr<T>();
    for (auto* pass : passes) pass->layer_[l].weight[which].add_to(gradient, first, rows, /*add=*/pass != &all);
  });
}

template <class T, class P>
void Backward<T, P>::finish() {
  if (a_.indexed() && !collects_) table_gradient();
  if (has_detector(0)) input_boundary_gradient();
  finish_sums();
}

template <class T, class P>
void Backward<T, P>::finish_sums() {
  for (int64_t l = 0; l < L_; ++l) {
    const auto& y = layers_[l];
    const auto& sums = layer_[l].sums[0];
    auto& g = g_.layers[l];
    g.bias = sums.bias_tensor(y.top() ? 4 * y.d : 4 * y.d + 1, options_);
    if (a_.layer_norm()) sums.set_norms(options_, g);
    if (!has_detector(l)) continue;
    k_.axpy(y.d, T(1), sums.u_z.data(), g.recurrent.template data_ptr<T>() + 4 * y.d * y.d);
    if (l > 0) k_.axpy(y.below, T(1), sums.w_z.data(), g.bottom_up.template data_ptr<T>() + 4 * y.d * y.below);
    k_.axpy(y.above, T(1), sums.v_z.data(), g.top_down.template data_ptr<T>() + 4 * y.d * y.above);
  }
}

template <class T, class P>
void Backward<T, P>::z0_gradient() const {
  if (!detect_) return;
  T* out = g_.window.z0.template data_ptr<T>();
  for (int64_t l = 0; l + 1 < L_; ++l) {
    for (int64_t b = mine_.begin; b < mine_.end; ++b) out[b * (L_ - 1) + l] = layer_[l].dz[b];
  }
}

/// The gradients through the table of the first layer's input: one product over its rows.
template <class T, class P>
void Backward<T, P>::table_gradient() {
  const auto& y = layers_[0];
  auto& sums = layer_[0].sums[0];
  const int64_t rows = a_.window.input.size(0);
  const auto d_raw = at::empty({rows, 4 * y.d}, products_);
  if (y.w_gain == nullptr) {
    d_raw.copy_(table_ds_);
  } else {
    // One layer-norm backward per row of the table, over the sum of its steps' ds (LN is the same at each of them).
    for (int64_t r = 0; r < rows; ++r) {
      k_.term_backward(4 * y.d, row_of<T>(table_ds_, r, 4 * y.d),
                       term(tape_[0].raw_w, tape_[0].stats_w, r, 4 * y.d, y.w_gain, y.w_bias),
                       row_of<P>(d_raw, r, 4 * y.d), sums.w_gain.data(), nullptr, nullptr);
    }
  }
  auto& matrix = weights_.bottom_up[0];
  if (input_gradient_) {
    matrix.backward(rows, d_raw.template data_ptr<P>(), 4 * y.d, g_.window.input.template data_ptr<T>());
  }
  matrix.weight_gradient(rows, d_raw.template data_ptr<P>(), window_.input.template const_data_ptr<P>(),
                         g_.layers[0].bottom_up.template data_ptr<T>());
}

/// The gradients through w_z of the first layer, for each row of its input.
template <class T, class P>
void Backward<T, P>::input_boundary_gradient() {
  const auto& y = layers_[0];
  const T* d_pre = layer_[0].d_pre.template const_data_ptr<T>();
  const T* x = a_.window.input.template const_data_ptr<T>();
  T* of_row = g_.layers[0].bottom_up.template data_ptr<T>() + 4 * y.d * y.below;
  std::vector<T> summed;
  if (a_.indexed()) {
    summed.assign(a_.window.input.size(0), T(0));
    const auto* index = a_.window.index.template const_data_ptr<int64_t>();
    for (int64_t i = 0; i < T_ * B_; ++i) summed[index[i]] += d_pre[i];
    d_pre = summed.data();
  }
  const int64_t rows = a_.indexed() ? a_.window.input.size(0) : T_ * B_;
  for (int64_t r = 0; r < rows; ++r) {
    if (d_pre[r] == T(0)) continue;
    if (input_gradient_) k_.axpy(y.below, d_pre[r], y.w_z(), row_of<T>(g_.window.input, r, y.below));
    k_.axpy(y.below, d_pre[r], x + r * y.below, of_row);
  }
}

#define HMRNN_INSTANTIATE(T, P)                                                     \
  template void Backward<T, P>::add(const Backward&);                               \
  template void Backward<T, P>::weight_gradients(std::span<Backward<T, P>* const>); \
  template void Backward<T, P>::z0_gradient() const;                                \
  template void Backward<T, P>::finish();
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cpu
