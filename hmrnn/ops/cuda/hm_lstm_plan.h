#pragma once

// The addresses of a window's tensors, as plain pointers, and which of them each step of each layer gets. The same for
// the drivers, which launch step after step (hm_lstm_forward.cpp, hm_lstm_backward.cpp), and for the kernels that
// contain the time loop (hm_lstm_persistent.cu). Free of LibTorch.
// Sizes: T steps, B rows of the batch, L layers of d units; S slots, of which slot s belongs to the state after s steps
// (0: the initial one): S = T+1, or 2 that alternate.

#include "hmrnn/ops/cuda/block.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Waves are numbered 0 to waves(T, L) - 1 in the order of time: step t of layer l belongs to wave 2t + l
/// (hm_lstm_window.h).
HMRNN_HOST_DEVICE inline int64_t waves(int64_t steps, int64_t layers) { return 2 * (steps - 1) + layers; }
/// f(t, l) for the steps of a wave, lowest layer first.
template <class F>
HMRNN_HOST_DEVICE void each_step(int64_t wave, int64_t steps, int64_t layers, F f) {
  for (int64_t l = wave % 2; l < layers && l <= wave; l += 2) {
    if ((wave - l) / 2 < steps) f((wave - l) / 2, l);
  }
}

/// Sizes of one layer, and where in the product of a state (a row of `width` values) its three parts begin.
struct LayerShape {
  int64_t units = 0;
  int64_t below = 0;  ///< units of the layer below, features of the input in the first layer
  int64_t above = 0;  ///< 0 at the top
  bool first = false;
  int64_t width = 0;      ///< of the product of this layer's state
  int64_t bottom_up = 0;  ///< begin of W^{l+1} h, after U^l h at 0
  int64_t top_down = 0;   ///< begin of V^{l-1} h

  HMRNN_HOST_DEVICE bool top() const { return above == 0; }
};

/// What both directions read of a layer. Where two slots alternate, gates and moments are those of one step only
/// (`kept`).
template <class T>
struct LayerPlan {
  LayerShape shape;
  bool wide = false;               ///< as Step::wide
  const T* bias = nullptr;         ///< [4d], or [4d+1]
  const T* gain[kProducts] = {};   ///< [4d] each, of the products' layer norms; null without layer norm
  const T* shift[kProducts] = {};  ///< their biases
  CellNorm<T> norm;
  const T* boundary_rows = nullptr;    ///< [3, d]; null: boundaries are neither detected nor differentiated
  T* products = nullptr;               ///< [S, B, width]
  T* dots = nullptr;                   ///< [S, B, 3] boundary_rows · h, or null
  T* h = nullptr;                      ///< [T+1, B, d]
  T* c = nullptr;                      ///< [S, B, d]
  T* gates = nullptr;                  ///< [T, B, 4d]
  Moments<T>* term_moments = nullptr;  ///< [T, B, 3]
  Moments<T>* cell_moments = nullptr;  ///< [T, B]
  T* pre = nullptr;                    ///< [T, B] the boundary's pre-activation; null: not kept
  int32_t* state = nullptr;            ///< [T, B] numbers of the states
  const T* mask = nullptr;             ///< [B, d] of h as W and V read it; null: 1
};

/// What both directions read of the window.
template <class T>
struct WindowPlan {
  int64_t steps = 0;
  int64_t batch = 0;
  int64_t layers = 0;
  bool every_slot = false;           ///< S = T+1
  T* z = nullptr;                    ///< [T, B, L-1]
  const T* z0 = nullptr;             ///< [B, L-1]
  const T* slope = nullptr;          ///< one value
  const int64_t* lengths = nullptr;  ///< [B]; null: no row ends early
  const T* input = nullptr;          ///< W^1 x: [rows, 4d], rows of the table with `index`, else T·B
  const T* input_dots = nullptr;     ///< [rows] w_z · x; null as `dots`
  int64_t input_rows = 0;
  const int64_t* index = nullptr;  ///< [T, B]
  cell::DropoutRule<T> dropout;    ///< of g
  const int64_t* seed = nullptr;   ///< of the dropout: one value

  HMRNN_HOST_DEVICE int64_t slot(int64_t s) const { return every_slot ? s : s % 2; }
  HMRNN_HOST_DEVICE int64_t kept(int64_t t) const { return every_slot ? t : 0; }
  HMRNN_HOST_DEVICE int64_t z_stride() const { return layers - 1; }
  /// Whether any step reads a product of layer l's state after step t.
  HMRNN_HOST_DEVICE bool read_later(int64_t t, int64_t l) const { return t + 1 < steps || l + 1 < layers; }
};

template <class T, class P>
struct LayerForwardPlan : LayerPlan<T> {
  P* h_operand = nullptr;  ///< [S, B, d]; null where P is T
  P* shown = nullptr;      ///< [S, B, d] mask ⊙ h as the products read it; null without a mask
};

template <class T, class P>
struct ForwardPlan : WindowPlan<T> {
  const T* given = nullptr;  ///< [T, B, L-1] or null, as noise
  const T* noise = nullptr;
  bool every_moment = false;                      ///< StepForward
  const LayerForwardPlan<T, P>* layer = nullptr;  ///< [L]
};

/// Where a row's sums over the steps begin, in a row of `width` values: gradients of biases and of layer norms.
struct SumColumns {
  int64_t bias = 0;  ///< of b, equal to that of the recurrent norm's bias; the only one without layer norm
  int64_t gain[kProducts] = {};
  int64_t shift[kProducts] = {};  ///< that of kRecurrent is `bias`
  int64_t cell_gain = 0;
  int64_t cell_bias = 0;
  int64_t width = 0;

  SumColumns() = default;
  SumColumns(int64_t d, bool layer_norm) {
    width = 4 * d;
    const auto take = [&](int64_t n) {
      const auto begin = width;
      width += layer_norm ? n : 0;
      return begin;
    };
    for (int k = 0; k < kProducts; ++k) {
      gain[k] = take(4 * d);
      if (k != kRecurrent) shift[k] = take(4 * d);
    }
    cell_gain = take(d), cell_bias = take(d);
  }
};

template <class T, class P>
struct LayerBackwardPlan : LayerPlan<T> {
  SumColumns columns;
  T* through = nullptr;  ///< [parts, B, d] dL/dh through the products, in parts that are to be added up
  int64_t parts = 1;
  P* d_products = nullptr;    ///< [T+1, B, width] laid out as the products
  T* d_dots = nullptr;        ///< [T+1, B, 3]; null: boundaries have no gradients
  const T* grad_h = nullptr;  ///< [T, B, d] of the caller, or null
  T* dh = nullptr;            ///< [B, d]
  T* dc = nullptr;
  T* sums = nullptr;     ///< [B, columns.width]
  T* scratch = nullptr;  ///< [B, 6d]
};

template <class T, class P>
struct BackwardPlan : WindowPlan<T> {
  bool layer_norm = false;
  T* dz = nullptr;                                 ///< [B, L-1]; null: boundaries have no gradients
  const T* grad_z = nullptr;                       ///< [T, B, L-1] of the caller, or null
  P* d_input = nullptr;                            ///< [T, B, 4d] of W^1 x
  T* d_input_dots = nullptr;                       ///< [T, B], or null
  const LayerBackwardPlan<T, P>* layer = nullptr;  ///< [L]
};

/// Sets `term` to the part at `offset` of the product of the state of `from` after s steps.
template <class T>
HMRNN_HOST_DEVICE void read_product(TermRows<T>& term, const WindowPlan<T>& w, const LayerPlan<T>& from, int64_t s,
                                    int64_t offset, Product which) {
  const int64_t row = w.slot(s) * w.batch;
  term.raw = from.products + row * from.shape.width + offset;
  term.stride = from.shape.width;
  if (from.dots == nullptr) return;
  term.dot = from.dots + row * kProducts + which;
  term.dot_stride = kProducts;
}

/// Sets the part of step (t, l) that both directions have. `layer`: the plans of all layers.
template <class T, class Layer>
HMRNN_HOST_DEVICE void fill_step(Step<T>& s, const WindowPlan<T>& w, const Layer* layer, int64_t t, int64_t l) {
  const Layer& own = layer[l];
  const auto& y = own.shape;
  s.batch = w.batch;
  s.units = y.units;
  s.time = t;
  s.wide = own.wide;
  s.bias = own.bias;
  s.norm = own.norm;
  s.slope = w.slope;
  s.boundary_rows = own.boundary_rows;
  s.z_stride = w.z_stride();
  if (!y.first) s.z_below = w.z + t * w.batch * s.z_stride + l - 1;
  if (!y.top()) s.z_before = (t > 0 ? w.z + (t - 1) * w.batch * s.z_stride : w.z0) + l;
  s.lengths = w.lengths;
  s.dropout = w.dropout;
  s.seed = w.seed;
  s.layer = l;
  if (t > 0) s.state_before = own.state + (t - 1) * w.batch;
  s.mask = own.mask;

  // U h_{t-1}, W h^{l-1}_t, V h^{l+1}_{t-1}: from the products of those states
  read_product<T>(s.term[kRecurrent], w, own, t, 0, kRecurrent);
  if (y.first) {
    const int64_t first_row = w.index != nullptr ? 0 : t * w.batch;
    auto& x = s.term[kBottomUp];
    x.raw = w.input + first_row * 4 * y.units;
    x.stride = 4 * y.units;
    x.dot = w.input_dots != nullptr ? w.input_dots + first_row : nullptr;
    x.dot_stride = 1;
    x.index = w.index != nullptr ? w.index + t * w.batch : nullptr;
    x.rows = w.input_rows;
  } else {
    read_product<T>(s.term[kBottomUp], w, layer[l - 1], t + 1, layer[l - 1].shape.bottom_up, kBottomUp);
  }
  if (!y.top()) read_product<T>(s.term[kTopDown], w, layer[l + 1], t, layer[l + 1].shape.top_down, kTopDown);
  HMRNN_UNROLL
  for (int k = 0; k < kProducts; ++k) {
    if (s.term[k].raw == nullptr) continue;
    s.term[k].gain = own.gain[k];
    s.term[k].bias = own.shift[k];
  }
}

template <class T, class P>
HMRNN_HOST_DEVICE StepForward<T, P> forward_step(const ForwardPlan<T, P>& w, int64_t t, int64_t l) {
  const auto& own = w.layer[l];
  const int64_t B = w.batch, d = own.shape.units, kept = w.kept(t);
  StepForward<T, P> s;
  fill_step<T>(s, w, w.layer, t, l);
  s.h = own.h + t * B * d;
  s.h_new = own.h + (t + 1) * B * d;
  s.c = own.c + w.slot(t) * B * d;
  s.c_new = own.c + w.slot(t + 1) * B * d;
  if (own.h_operand != nullptr) s.h_operand = own.h_operand + w.slot(t + 1) * B * d;
  s.gates = own.gates + kept * B * 4 * d;
  s.term_moments = own.term_moments + kept * B * kProducts;
  s.cell_moments = own.cell_moments + kept * B;
  s.every_moment = w.every_moment;
  if (own.dots != nullptr) {
    s.dots = own.dots + w.slot(t) * B * kProducts;
    s.dots_new = own.dots + w.slot(t + 1) * B * kProducts;
  }
  if (!own.shape.top()) {
    const int64_t first = t * B * s.z_stride + l;
    s.z = w.z + first;
    if (own.pre != nullptr) s.pre = own.pre + t * B;
    if (w.given != nullptr) s.given = w.given + first;
    if (w.noise != nullptr) s.noise = w.noise + first;
  }
  s.state = own.state + t * B;
  if (own.shown != nullptr) s.shown = own.shown + w.slot(t + 1) * B * d;
  return s;
}

/// Sets `to` to the address for the gradient of what read_product reads.
template <class T, class P>
HMRNN_HOST_DEVICE void leave_gradient(TermGradients<T, P>& to, const BackwardPlan<T, P>& w, int64_t of, int64_t slot,
                                      int64_t offset, Product which, bool with_dot) {
  const auto& from = w.layer[of];
  const int64_t row = slot * w.batch;
  to.stride = from.shape.width;
  to.raw = from.d_products + row * to.stride + offset;
  if (!with_dot) return;
  to.dot = from.d_dots + row * kProducts + which;
  to.dot_stride = kProducts;
}

template <class T, class P>
HMRNN_HOST_DEVICE StepBackward<T, P> backward_step(const BackwardPlan<T, P>& w, int64_t t, int64_t l) {
  const auto& own = w.layer[l];
  const auto& y = own.shape;
  const int64_t B = w.batch, d = y.units;
  const bool detect = w.dz != nullptr, with_dots = detect && !y.top();
  StepBackward<T, P> s;
  fill_step<T>(s, w, w.layer, t, l);
  s.detect = detect;
  s.h = own.h + t * B * d;
  s.c = own.c + w.slot(t) * B * d;
  s.c_new = own.c + w.slot(t + 1) * B * d;
  s.gates = own.gates + t * B * 4 * d;
  s.term_moments = own.term_moments + t * B * kProducts;
  s.cell_moments = own.cell_moments + t * B;
  if (w.read_later(t, l)) {
    s.through_products = own.through;
    s.through_parts = own.parts;
    if (detect) s.through_boundaries = own.d_dots + (t + 1) * B * kProducts;
  }
  if (own.grad_h != nullptr) s.grad_h = own.grad_h + t * B * d;
  s.dh = own.dh;
  s.dc = own.dc;
  if (detect && !y.first) s.dz_below = w.dz + l - 1;
  if (with_dots) {
    s.dz = w.dz + l;
    s.pre = own.pre + t * B;
    if (w.grad_z != nullptr) s.grad_z = w.grad_z + t * B * s.z_stride + l;
  }

  leave_gradient(s.d_term[kRecurrent], w, l, t, 0, kRecurrent, with_dots);
  if (y.first) {
    auto& x = s.d_term[kBottomUp];
    x.raw = w.d_input + t * B * 4 * d;
    x.stride = 4 * d;
    x.dot = with_dots ? w.d_input_dots + t * B : nullptr;
    x.dot_stride = 1;
  } else {
    leave_gradient(s.d_term[kBottomUp], w, l - 1, t + 1, w.layer[l - 1].shape.bottom_up, kBottomUp, with_dots);
  }
  if (!y.top()) leave_gradient(s.d_term[kTopDown], w, l + 1, t, w.layer[l + 1].shape.top_down, kTopDown, with_dots);
  const auto& at = own.columns;
  s.sums_stride = at.width;
  s.d_term[kRecurrent].bias = own.sums + at.bias;
  if (w.layer_norm) {
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      s.d_term[k].gain = own.sums + at.gain[k];
      if (k != kRecurrent) s.d_term[k].bias = own.sums + at.shift[k];
    }
    s.cell_gain = own.sums + at.cell_gain;
    s.cell_bias = own.sums + at.cell_bias;
  }
  s.scratch = own.scratch;
  return s;
}

}  // namespace hmrnn::cuda
