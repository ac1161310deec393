#pragma once

#include <ATen/ATen.h>

#include <array>
#include <vector>

#include "hmrnn/ops/cpu/aligned_vector.h"
#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/row_tables.h"
#include "hmrnn/ops/hm_lstm_arguments.h"

// What the forward and the backward pass over a window share: views of the parameters and the tape.

namespace hmrnn::cpu {

/// Parameters of one layer as plain pointers, boundary rows by functions of their own; null where there is none.
template <class T>
struct LayerView {
  int64_t d = 0;      ///< units
  int64_t below = 0;  ///< features of the input
  int64_t above = 0;  ///< units of the layer above, 0 at the top
  const T *recurrent = nullptr, *bottom_up = nullptr, *top_down = nullptr, *bias = nullptr;
  const T *u_gain = nullptr, *u_bias = nullptr, *w_gain = nullptr, *w_bias = nullptr;
  const T *v_gain = nullptr, *v_bias = nullptr;
  CellNorm<T> cell;
  /// [4d] sum of the biases that an active step adds to its products: b, and those of the products' norms. Indexed by
  /// bias_index(): whether W x is part of the step (the boundary below fired), and V h^ (it is a FLUSH). Empty without
  /// layer norm.
  std::array<AlignedVector<T>, 4> summed_bias;

  static int bias_index(bool with_bottom_up, bool flush) { return (with_bottom_up ? 1 : 0) + (flush ? 2 : 0); }
  const T* gate_bias(bool with_bottom_up, bool flush) const {
    const auto& sum = summed_bias[bias_index(with_bottom_up, flush)];
    return sum.empty() ? bias : sum.data();
  }
  bool top() const { return above == 0; }
  const T* u_z() const { return recurrent + 4 * d * d; }
  const T* w_z() const { return bottom_up + 4 * d * below; }
  const T* v_z() const { return top_down + 4 * d * above; }
  T bias_z() const { return bias[4 * d]; }
};

template <class T>
std::vector<LayerView<T>> layer_views(const HMLSTMArguments& a) {
  const auto data = [](const at::Tensor& x) { return x.template const_data_ptr<T>(); };
  std::vector<LayerView<T>> out(a.num_layers());
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    auto& y = out[l];
    const auto& p = a.layers[l];
    y.d = p.units();
    y.below = p.bottom_up.size(1);
    y.above = a.top(l) ? 0 : a.units(l + 1);
    y.recurrent = data(p.recurrent);
    y.bottom_up = data(p.bottom_up);
    if (y.above) y.top_down = data(p.top_down);
    y.bias = data(p.bias);
    y.cell.eps = static_cast<T>(a.eps);
    if (!a.layer_norm()) continue;
    y.u_gain = data(p.recurrent_norm.weight), y.u_bias = data(p.recurrent_norm.bias);
    y.w_gain = data(p.bottom_up_norm.weight), y.w_bias = data(p.bottom_up_norm.bias);
    if (y.above) y.v_gain = data(p.top_down_norm.weight), y.v_bias = data(p.top_down_norm.bias);
    y.cell.gain = data(p.cell_norm.weight), y.cell.bias = data(p.cell_norm.bias);
    for (const bool flush : {false, true}) {
      for (const bool bottom_up : {false, true}) {
        auto& sum = y.summed_bias[y.bias_index(bottom_up, flush)];
        sum.assign(y.bias, y.bias + 4 * y.d);
        for (const auto* more : {y.u_bias, bottom_up ? y.w_bias : nullptr, flush ? y.v_bias : nullptr}) {
          for (int64_t j = 0; more != nullptr && j < 4 * y.d; ++j) sum[j] += more[j];
        }
      }
    }
  }
  return out;
}

/// Dot products of the boundary rows with one state h of layer l, computed once for each state.
template <class T>
struct StateDots {
  T recurrent;  ///< u_z^l · h
  T bottom_up;  ///< w_z^{l+1} · h
  T top_down;   ///< v_z^{l-1} · h
};

/// The tape of one layer. Each active step (UPDATE or FLUSH) of a row has a slot; slots are numbered in the order of
/// computation (for one row the order of time; rows may be at different time steps). A state has the number of the slot
/// that computed it, a row's initial state none (-1). Tables are allocated for the worst case and filled from the
/// front, so that only the memory in use is committed. P: the type that products are stored in.
template <class T, class P>
struct LayerTape {
  // Tables of products, rows of 4d values row_stride<P>(4d) apart (raw_row)
  at::Tensor raw_u;     ///< [N, ..] of P: U h of the state that the step ends
  at::Tensor raw_w;     ///< [Nw, ..] of P: W x; [V, ..] of the first layer's table
  at::Tensor raw_v;     ///< [Nv, ..] of P: V h^ of the FLUSHes
  at::Tensor stats_u;   ///< Moments [N, 2]
  at::Tensor stats_w;   ///< [Nw, 2]
  at::Tensor stats_v;   ///< [Nv, 2]
  at::Tensor stats_c;   ///< [N, 2] of c'
  at::Tensor c;         ///< [N, d] c'
  at::Tensor slot_w;    ///< int32 [N]: row of raw_w, -1 where the boundary below did not fire
  at::Tensor slot_v;    ///< int32 [N]: row of raw_v, -1 at UPDATE
  at::Tensor position;  ///< int32 [N]: t·B + b
  at::Tensor slot;      ///< int32 [T, B]: slot of the row's state after step t, -1: the initial one
  at::Tensor pre;       ///< [T, B] s_z, the boundary's pre-activation (not at the top)
  at::Tensor counts;    ///< int64 [3]: N, Nw, Nv in use
  // Tables of states: at [b] row b's initial state, at [B + s] that of slot s (state_row)
  at::Tensor states;    ///< [B + N, d] of P: h as the products read it; empty where P is T
  at::Tensor dots;      ///< [B + N] StateDots; empty without a detector
  at::Tensor schedule;  ///< int32 [n, 2], first layer only: the batches of row-steps in order, as layer and size
  /// The weights as forward packed them; empty where backward does not use them in this form.
  at::Tensor packed_u, packed_w, packed_v;
  at::Tensor shown;  ///< [B + N, d] of P, a table of states: mask ⊙ h, as W and V read it; empty without a locked mask

  static constexpr int kTensors = 21;
  std::vector<at::Tensor> list() const {
    return {raw_u, raw_w, raw_v,  stats_u, stats_w, stats_v,  stats_c,  c,        slot_w,   slot_v, position,
            slot,  pre,   counts, states,  dots,    schedule, packed_u, packed_w, packed_v, shown};
  }
  static LayerTape from(const std::vector<at::Tensor>& saved, int64_t l) {
    const auto* s = saved.data() + l * kTensors;
    return {s[0],  s[1],  s[2],  s[3],  s[4],  s[5],  s[6],  s[7],  s[8],  s[9], s[10],
            s[11], s[12], s[13], s[14], s[15], s[16], s[17], s[18], s[19], s[20]};
  }
};

/// The recurrent dropout of a window, row by row.
template <class T>
class RecurrentDropout {
 public:
  explicit RecurrentDropout(const HMLSTMArguments& a)
      : rule_(a.dropout.recurrent), seed_(rule_.on() ? a.dropout.seed.item<int64_t>() : 0) {}
  /// The dropout of the step with which row b of layer l ends the state of this number.
  Dropout<T> of(int64_t l, int64_t b, int64_t state) const {
    return rule_.on() ? rule_.of(seed_, l, b, state) : Dropout<T>();
  }

 private:
  cell::DropoutRule<T> rule_;
  int64_t seed_;
};

/// The locked mask of a window, row by row.
template <class T>
class LockedMask {
 public:
  explicit LockedMask(const HMLSTMArguments& a) {
    if (!a.dropout.locked_mask.defined()) return;
    mask_ = a.dropout.locked_mask.template const_data_ptr<T>();
    for (int64_t l = 0; l < a.num_layers(); ++l) {
      begin_.push_back(width_);
      width_ += a.units(l);
    }
  }
  bool on() const { return mask_ != nullptr; }
  /// [d_l]
  const T* row(int64_t l, int64_t b) const { return mask_ + b * width_ + begin_[l]; }

 private:
  const T* mask_ = nullptr;
  int64_t width_ = 0;
  std::vector<int64_t> begin_;
};

/// Where the state of slot `s` (-1: the initial one) of row b is in the tables of states.
inline int64_t state_row(int32_t s, int64_t b, int64_t batch) { return s < 0 ? b : batch + s; }

/// The lengths of the sequences, int64 [B]; empty where none are given.
inline std::vector<int64_t> lengths(const HMLSTMArguments& a) {
  if (!a.window.lengths.defined()) return {};
  const auto all = a.window.lengths.to(at::kCPU, at::kLong).contiguous();
  return {all.const_data_ptr<int64_t>(), all.const_data_ptr<int64_t>() + a.batch()};
}

/// The weights as the products read them.
template <class P>
struct WindowProducts {
  std::vector<Product<P>> recurrent, bottom_up, top_down;

  explicit WindowProducts(const std::vector<LayerView<Wide<P>>>& layers) {
    for (const auto& y : layers) {
      recurrent.emplace_back(y.recurrent, 4 * y.d, y.d);
      bottom_up.emplace_back(y.bottom_up, 4 * y.d, y.below);
      top_down.emplace_back(y.top_down, y.top() ? 0 : 4 * y.d, y.above);
    }
  }
  template <class F>
  void each(F f) {
    for (auto* list : {&bottom_up, &recurrent, &top_down}) {
      for (auto& matrix : *list) f(matrix);
    }
  }
  /// The same for another thread (Product::beside).
  WindowProducts beside() const {
    WindowProducts out;
    for (const auto& x : recurrent) out.recurrent.push_back(x.beside());
    for (const auto& x : bottom_up) out.bottom_up.push_back(x.beside());
    for (const auto& x : top_down) out.top_down.push_back(x.beside());
    return out;
  }

 private:
  WindowProducts() = default;
};

}  // namespace hmrnn::cpu
