#pragma once

#include <cstdint>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cpu/hm_lstm_window.h"
#include "hmrnn/ops/cpu/row_shares.h"
#include "hmrnn/ops/rules.h"

namespace hmrnn::cpu {

/// What is computed from the first layer's input before the steps, for all rows of the batch: for a table W x and its
/// moments, for a sequence the operands of W x, and for both w_z·x.
template <class T, class P>
class FirstLayerInput {
 public:
  /// Allocates.
  FirstLayerInput(const HMLSTMArguments& a, const LayerView<T>& layer);
  /// Computes; `bottom_up`: W of the first layer.
  void compute(Product<P>& bottom_up);

  at::Tensor operands;        ///< [.., below] of P
  at::Tensor raw_w, stats_w;  ///< of a table: [V, row_stride<P>(4d)] of P and [V, 2]
  std::vector<T> z;           ///< w_z·x; empty without a detector

 private:
  const HMLSTMArguments& a_;
  const LayerView<T>& layer_;
};

/// The forward pass over one window, for some rows of the batch: each product once per change of state. What comes
/// before the time loop and after it is in hm_lstm_forward.cpp, the steps are in hm_lstm_forward_steps.cpp.
///
/// No operation combines two rows of the batch, so each row has its own current time step: it COPYs, which needs no
/// product, up to the next step at which a layer must UPDATE or FLUSH, and waits there. The layer for which most rows
/// wait is computed next, for all of these rows, whatever time step each has reached: one product per matrix, then the
/// row function of cell_math.h. If all rows were at the same time step, the upper layers would step with a few rows at
/// a time, and with few rows a product takes as long as reading its weights (3×512, 32 rows, z at 0.21 and 0.035: 410
/// products instead of 607 in 100 steps). Threads share each product by columns, so that each reads only its part of
/// the weights, and then the rows; or each thread computes a pass of its own, over its rows (row_shares.h).
///
/// T: type of states, parameters and everything computed; P: type of the products (T, or bfloat16 if T is float).
template <class T, class P>
class Forward {
 public:
  /// For the rows `mine`. `result`: memory that all passes of the window share; without `training`, c_n contains c0.
  Forward(const HMLSTMArguments& a, const std::vector<LayerView<T>>& layers, BatchRows mine, bool training,
          WindowProducts<P>& products, const FirstLayerInput<T, P>& input, WindowResult& result);

  /// All steps; fills the rows of `result`.
  void run();
  /// After run: what backward needs, L · LayerTape::kTensors tensors.
  std::vector<at::Tensor> saved();

 private:
  struct Row {
    int64_t t = 0, l = 0;  // the next step; l = L: the window is over
    rules::Operation operation;
    bool live;        // t < length
    int32_t i, w, v;  // position in the batch, rows of raw_w and raw_v (or -1)
  };

  /// Pointers of one layer that every step reads or writes. (Tensor's accessors check their type at each call.)
  struct Pointers {
    const T* h0;
    T* h;
    P *states, *shown;
    StateDots<T>* dots;
    T* pre;
    int32_t *slot, *state_index;
  };

  static constexpr bool kNarrow = !std::is_same_v<T, P>;

  int64_t& count(int64_t l, int which) { return tape_[l].counts.template data_ptr<int64_t>()[which]; }
  T* z_at(int64_t t, int64_t b, int64_t l) { return z_ + (t * B_ + b) * (L_ - 1) + l; }
  const T* last_z(int64_t t, int64_t b, int64_t l) { return t > 0 ? z_at(t - 1, b, l) : z0_ + b * (L_ - 1) + l; }
  /// h of layer l after step t (t = -1: h0), [B, d].
  const T* h_at(int64_t t, int64_t l) { return t < 0 ? at_[l].h0 : h_now(t, l, 0); }
  T* h_now(int64_t t, int64_t l, int64_t b) { return at_[l].h + (t * B_ + b) * layers_[l].d; }
  /// The current state of layer l in row b, as the products read it. (A step reads only current states. `t` is used
  /// only where P is T: it selects the copy in `h`.)
  const P* operand(int64_t t, int64_t l, int64_t b) {
    const int64_t d = layers_[l].d;
    if constexpr (kNarrow)
      return at_[l].states + now_[l][b] * d;
    else
      return h_at(t, l) + b * d;
  }
  /// The same as W and V read it.
  const P* shown(int64_t t, int64_t l, int64_t b) {
    return mask_.on() ? at_[l].shown + now_[l][b] * layers_[l].d : operand(t, l, b);
  }
  StateDots<T>& dots_now(int64_t l, int64_t b) { return at_[l].dots[now_[l][b]]; }
  int32_t* slot_at(int64_t t, int64_t l, int64_t b) { return at_[l].slot + t * B_ + b; }
  int32_t* index_at(int64_t t, int64_t l, int64_t b) { return at_[l].state_index + t * B_ + b; }

  // hm_lstm_forward.cpp
  void first_states();
  void last_c(int64_t l);

  // hm_lstm_forward_steps.cpp
  StateDots<T> state_dots(int64_t l, const T* h);
  void copy_until_active(int64_t b);
  void step_batch(int64_t l);
  T pre_activation(const Row& r, int64_t l, int64_t b);
  void copy(int64_t t, int64_t l, int64_t b);
  void prefetch_rows(int64_t b, int64_t base, RowPrefetch& prefetch);
  void update(const Row& r, int64_t b, int64_t base, int64_t thread, RowPrefetch* prefetch);
  T decide(int64_t t, int64_t l, int64_t b, T pre);

  const HMLSTMArguments& a_;
  WindowResult& result_;
  const bool training_;
  const CellKernels<T, P>& k_;
  const int64_t T_, B_, L_;
  const BatchRows mine_;
  const T slope_;
  const std::vector<LayerView<T>>& layers_;
  std::vector<LayerTape<T, P>> tape_;
  std::vector<Pointers> at_;
  T* z_ = nullptr;                  // [T, B, L-1]
  const T* z0_ = nullptr;           // [B, L-1]
  const int64_t* index_ = nullptr;  // [T, B], or null
  WindowProducts<P>& products_;
  at::Tensor gates_;  // of the current step, per thread
  std::vector<Row> rows_;
  std::vector<int64_t> batch_rows_;        // batch rows of the current step, in order
  std::vector<const P*> x_u_, x_w_, x_v_;  // the operands of their products
  std::vector<int32_t> schedule_;          // LayerTape::schedule
  const FirstLayerInput<T, P>& input_;
  const RecurrentDropout<T> dropout_;
  const LockedMask<T> mask_;
  std::vector<std::vector<int32_t>> now_;  // of each layer and row: its current state's row in the tables of states
  const std::vector<int64_t> lengths_;     // [B], or empty
};

}  // namespace hmrnn::cpu
