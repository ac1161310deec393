#pragma once

#include <c10/util/BFloat16.h>

#include "hmrnn/ops/cell_math.h"
#include "hmrnn/ops/cpu/row_prefetch.h"

namespace hmrnn::cpu {

using cell::ActiveDots;
using cell::CellNorm;
using cell::CopyDots;
using cell::Dropout;
using cell::Moments;
using cell::Term;

/// The row functions of cell_math.h, compiled for one instruction set; T is float or double, P (the type that products
/// are stored in) is T, or bfloat16 if T is float. See cell_math.h for what each does; all pointers are to one row.
/// `prefetch`: rows that the function prefetches while it computes, or null.
template <class T, class P = T>
struct CellKernels {
  Moments<T> (*moments)(int64_t n, const P* x, T eps, RowPrefetch* prefetch);
  T (*dot)(int64_t n, const T* x, const T* y);
  T (*term_dot)(int64_t n, const T* ds, const Term<T, P>& term);
  Moments<T> (*active_forward)(int64_t d, const Term<T, P>& recurrent, const Term<T, P>& bottom_up,
                               const Term<T, P>& top_down, const T* bias, const T* c, const CellNorm<T>& norm, T* gates,
                               T* c_new, T* h_new, RowPrefetch* prefetch);
  Moments<T> (*active_cell)(int64_t d, const T* gates, const T* c, const CellNorm<T>& norm, const Dropout<T>& dropout,
                            T* c_new, T* h_new);
  void (*active_gates)(int64_t d, const Term<T, P>& recurrent, const Term<T, P>& bottom_up, const Term<T, P>& top_down,
                       const T* bias, T* gates, RowPrefetch* prefetch);
  ActiveDots<T> (*active_backward)(int64_t d, bool flush, const T* dh, const T* dc, const T* gates, const T* c,
                                   const T* c_new, const T* h, const Moments<T>& cell_moments, const CellNorm<T>& norm,
                                   const Dropout<T>& dropout, T* scratch, T* ds, T* dc_prev, T* gain_grad, T* bias_grad,
                                   RowPrefetch* prefetch);
  T(*term_backward)
  (int64_t n, const T* ds, const Term<T, P>& term, P* d_raw, T* gain_grad, T* bias_grad, RowPrefetch* prefetch);
  CopyDots<T> (*copy_run)(int64_t d, const Term<T, P>& recurrent, const T* bias, const T* c, const T* h,
                          const CellNorm<T>& norm, const Dropout<T>& dropout, const T* dc, T* scratch, T* delta);
  /// y [rows] = M [rows, n] · x, row-major
  void (*matrix_vector)(int64_t rows, int64_t n, const T* m, const T* x, T* y);
  /// y = x, in the products' type, and back
  void (*narrow)(int64_t n, const T* x, P* y);
  void (*widen)(int64_t n, const P* x, T* y);
  /// y += x, of the products' type
  void (*add)(int64_t n, const P* x, T* y);
  /// y += a·x
  void (*axpy)(int64_t n, T a, const T* x, T* y);
  /// y = mask ⊙ x in the products' type, and y += mask ⊙ x
  void (*mask)(int64_t n, const T* mask, const T* x, P* y);
  void (*add_masked)(int64_t n, const T* mask, const T* x, T* y);
  /// y = max(Σ_l gate_l · x_l, 0) over `layers` rows x_l of n values
  void (*gated_sum)(int64_t n, int64_t layers, const T* gate, const P* const* x, T* y);
  /// The gradient of gated_sum: e = dy where y > 0, else 0; scaled_l += gate_l · e; dgate_l = e · x_l.
  void (*gated_sum_backward)(int64_t n, int64_t layers, const T* gate, const P* const* x, const T* y, const T* dy, P* e,
                             T* const* scaled, T* dgate);
  /// y = a·y + Σ_k b_k · w_k over `rows` rows w_k of n values, one after another
  void (*scale_and_add)(int64_t n, T a, int64_t rows, const T* b, const T* w, T* y);
};

/// What is compiled for one instruction set.
struct AllCellKernels {
  CellKernels<float> float32;
  CellKernels<float, c10::BFloat16> bfloat16;
  CellKernels<double> float64;
};

/// The kernels for this machine's CPU.
template <class T, class P = T>
const CellKernels<T, P>& cell_kernels();

}  // namespace hmrnn::cpu
