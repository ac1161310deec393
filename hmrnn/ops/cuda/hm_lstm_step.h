#pragma once

// The arguments of the window's kernels: plain pointers into device memory, and nothing of LibTorch but its bfloat16. T
// is the type of the states (float or double), P that of the operands of the products (T, or bfloat16 where T is
// float). One block of threads computes one row of the batch. Sizes are in values; [n] is the length of a row.

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "hmrnn/ops/cell_math.h"
#include "hmrnn/ops/rules.h"

namespace hmrnn::cuda {

using cell::CellNorm;
using cell::Moments;
using cell::Term;

/// The three products of a step, in the order of every array of kProducts entries.
enum Product : int { kRecurrent = 0, kBottomUp = 1, kTopDown = 2, kProducts = 3 };

/// Whether an active step of this operation adds the product: U h always, W x if the boundary below fired, V h^ at a
/// FLUSH.
HMRNN_HOST_DEVICE HMRNN_INLINE bool uses(const rules::Operation& operation, int product) {
  return product == kRecurrent || (product == kBottomUp ? operation.bottom_up : operation.flush);
}

/// One of the products of a step, for all rows of the batch: addresses of M x, of the boundary row's product with x,
/// and of the layer norm's parameters.
template <class T>
struct TermRows {
  const T* raw = nullptr;  ///< row r at raw + r·stride, [4d]; null: the layer has no such product
  int64_t stride = 0;
  const T* dot = nullptr;  ///< row r at dot + r·dot_stride: the boundary row times x
  int64_t dot_stride = 0;
  const int64_t* index = nullptr;  ///< r of a row of the batch; null: r is the row itself
  int64_t rows = 0;                ///< with index: how many there are
  const T* gain = nullptr;         ///< [4d]; null without layer norm
  const T* bias = nullptr;         ///< [4d]

  /// An index out of range has been reported (hm_lstm_forward.cpp); here it only must not cause a read out of bounds.
  HMRNN_HOST_DEVICE int64_t row(int64_t b) const {
    if (index == nullptr) return b;
    const int64_t r = index[b];
    return r < 0 ? 0 : r < rows ? r : rows - 1;
  }
  HMRNN_HOST_DEVICE const T* values(int64_t b) const { return raw == nullptr ? nullptr : raw + row(b) * stride; }
  HMRNN_HOST_DEVICE T boundary(int64_t b) const { return dot[row(b) * dot_stride]; }
};

/// The arguments of a step of a layer that both directions have.
template <class T>
struct Step {
  int64_t batch = 0;
  int64_t units = 0;  ///< d
  int64_t time = 0;   ///< t
  bool wide = false;  ///< row lengths are multiples of 4 values, and all pointers aligned to 16 bytes
  TermRows<T> term[kProducts];
  const T* bias = nullptr;  ///< [4d], or [4d+1] with the boundary's
  CellNorm<T> norm;
  const T* boundary_rows = nullptr;  ///< [3, d] LayerTape::boundary_rows; null: unused
  const T* z_below = nullptr;        ///< z of the layer below at t, row b at b·z_stride; null in the first layer: 1
  const T* z_before = nullptr;       ///< z of this layer at t-1; null at the top: 0
  int64_t z_stride = 0;              ///< also of noise, given, gradients of z
  const T* slope = nullptr;          ///< one value, on the device: a replayed graph reads it anew
  const int64_t* lengths = nullptr;  ///< [batch]; null: no row ends early
  cell::DropoutRule<T> dropout;      ///< of g
  const int64_t* seed = nullptr;     ///< of the dropout: one value, on the device
  int64_t layer = 0;                 ///< l
  const int32_t* state_before = nullptr;  ///< [batch] number of the row's state at t-1; null at t = 0: 0
  const T* mask = nullptr;                ///< [batch, d] of h as W and V of the layers above and below read it; null: 1

  HMRNN_HOST_DEVICE int64_t state_number(int64_t b) const { return state_before != nullptr ? state_before[b] : 0; }
  HMRNN_HOST_DEVICE cell::Dropout<T> dropout_of(int64_t b) const {
    return dropout.on() ? dropout.of(*seed, layer, b, state_number(b)) : cell::Dropout<T>();
  }
  HMRNN_HOST_DEVICE bool live(int64_t b) const { return lengths == nullptr || time < lengths[b]; }
  HMRNN_HOST_DEVICE rules::Operation operation(int64_t b) const {
    return rules::operation<T>(z_below != nullptr ? z_below + b * z_stride : nullptr,
                               z_before != nullptr ? z_before + b * z_stride : nullptr);
  }
};

template <class T, class P>
struct StepForward : Step<T> {
  const T* h = nullptr;  ///< [batch, d] of t-1
  const T* c = nullptr;
  T* h_new = nullptr;  ///< of t
  T* c_new = nullptr;
  P* h_operand = nullptr;              ///< h_new as the products read it; null where P is T
  T* gates = nullptr;                  ///< [batch, 4d] f, i, o, g of the active rows
  Moments<T>* term_moments = nullptr;  ///< [batch, 3]
  Moments<T>* cell_moments = nullptr;  ///< [batch]
  bool every_moment = false;  ///< also those of the products that the step does not use: the gradients of z need them
  const T* dots = nullptr;    ///< [batch, 3] boundary_rows · h of t-1
  T* dots_new = nullptr;      ///< of t; null: not needed
  T* z = nullptr;             ///< z of this layer at t; null at the top
  T* pre = nullptr;           ///< [batch] the boundary's pre-activation; null: not needed
  const T* given = nullptr;
  const T* noise = nullptr;
  int32_t* state = nullptr;  ///< [batch] number of the row's state at t
  P* shown = nullptr;        ///< [batch, d] mask ⊙ h_new as the products read it; null: not needed
};

/// dots = boundary_rows · h of the initial state; each step computes that of the state it writes.
template <class T>
struct BoundaryProducts {
  int64_t batch = 0;
  int64_t units = 0;
  bool wide = false;
  const T* h = nullptr;              ///< [batch, d]
  const T* boundary_rows = nullptr;  ///< [3, d]
  T* dots = nullptr;                 ///< [batch, 3]
};

/// The addresses to which a step writes the gradients of one of its products.
template <class T, class P>
struct TermGradients {
  P* raw = nullptr;  ///< row b at raw + b·stride, [4d], of M x: zeros where the step does not use it
  int64_t stride = 0;
  T* dot = nullptr;  ///< row b at dot + b·dot_stride, of the boundary row times x; null: not needed
  int64_t dot_stride = 0;
  T* gain =
      nullptr;  ///< [4d] row b at gain + b·sums_stride, added to: each row has sums of its own (no atomics, so that
  T* bias = nullptr;  ///< results repeat), which are added up after the window; null: not needed. The recurrent
                      ///< norm's bias has the same gradient as b, which is needed without layer norm too
};

template <class T, class P>
struct StepBackward : Step<T> {
  bool detect = false;   ///< z has gradients
  const T* h = nullptr;  ///< [batch, d] of t-1
  const T* c = nullptr;
  const T* c_new = nullptr;  ///< of t
  const T* gates = nullptr;
  const Moments<T>* term_moments = nullptr;
  const Moments<T>* cell_moments = nullptr;
  const T* pre = nullptr;

  const T* through_products = nullptr;  ///< [parts, batch, d], their sum is dL/dh_t through the products that read h_t;
                                        ///< with a mask two parts, through U, and of mask ⊙ h_t through W and V; null:
                                        ///< none
  int64_t through_parts = 1;
  const T* through_boundaries = nullptr;  ///< [batch, 3] gradients of boundary_rows · h_t; null: none
  const T* grad_h = nullptr;              ///< [batch, d] of the caller; null: none
  const T* grad_z = nullptr;              ///< of the caller; null: none
  T* dh = nullptr;        ///< [batch, d] in: what a COPY of t+1 passes on; out: what this step passes on
  T* dc = nullptr;        ///< [batch, d] in: of c_t; out: of c_{t-1}
  T* dz = nullptr;        ///< in: of z_t; out: of z_{t-1}; null at the top and without `detect`
  T* dz_below = nullptr;  ///< of z_t of the layer below, added to; null in the first layer and without `detect`

  TermGradients<T, P> d_term[kProducts];
  T* cell_gain = nullptr;  ///< [d], null without layer norm
  T* cell_bias = nullptr;
  int64_t sums_stride = 0;
  T* scratch = nullptr;  ///< [batch, 6d]
};

/// out[s, v, j] = Σ rows[i, j] over the i of segment s with index[i] = v: gradients of a table from those of the steps
/// that read it, in a fixed order.
template <class T, class Q>
struct SumRows {
  const Q* rows = nullptr;  ///< [n, width]
  const int64_t* index = nullptr;
  int64_t n = 0;
  int64_t width = 0;
  int64_t table = 0;     ///< rows of the table
  int64_t segments = 1;  ///< parts of the n rows, so that a frequent row does not take much longer than the others
  T* out = nullptr;      ///< [segments, table, width]
};

}  // namespace hmrnn::cuda
