#pragma once

// The discrete rules of the HM-LSTM: which operation a step is, how a boundary is decided, which gradients the
// boundaries get. The CPU and CUDA backends, the stream and analysis/ use these functions; ops/reference implements the
// rules independently, as a polynomial in z, since all backends are tested against it. C++17, for .cu files.

#include <type_traits>

#include "hmrnn/ops/host_device.h"

namespace hmrnn::rules {

/// Whether a boundary fired: z > 0.5. Hard boundaries are 0 or 1; a soft one counts as fired above 0.5. For a tensor
/// the result is a bool tensor.
template <class Z>
HMRNN_HOST_DEVICE HMRNN_INLINE auto fires(const Z& z) {
  if constexpr (std::is_floating_point_v<Z>) {
    return z > Z(0.5);
  } else {
    return z > 0.5;
  }
}

/// The operation of a layer at a step: FLUSH if the layer's own boundary fired at the previous step, else UPDATE if the
/// boundary of the layer below fired at this step, else COPY.
struct Operation {
  bool bottom_up;  ///< the boundary below fired: W x is part of an active step
  bool flush;

  /// UPDATE or FLUSH
  HMRNN_HOST_DEVICE HMRNN_INLINE bool active() const { return bottom_up || flush; }
};

/// `z_below`: z of the layer below at this step; null in the first layer, whose input always counts as a segment's end.
/// `z_before`: z of the layer itself at the step before; null at the top, which has no boundary and never flushes.
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE Operation operation(const T* z_below, const T* z_before) {
  return {z_below == nullptr || fires(*z_below), z_before != nullptr && fires(*z_before)};
}

/// hardσ(s) = max(0, min(1, (a·s + 1) / 2)); of a NaN it is NaN.
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE T hard_sigmoid(T pre, T slope) {
  const T x = (pre * slope + T(1)) * T(0.5);
  return x < T(0) ? T(0) : x > T(1) ? T(1) : x;
}

/// z of a pre-activation s: with `noise` (uniform in [0, 1)) the Bernoulli draw noise < hardσ(s), without (null) the
/// step hardσ(s) > ½. A pre-activation that is NaN does not fire.
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE T decide(T pre, T slope, const T* noise) {
  const T p = hard_sigmoid(pre, slope);
  return (noise != nullptr ? *noise < p : p > T(0.5)) ? T(1) : T(0);
}

/// Whether the straight-through gradient passes: |a·s| ≤ 1. Beyond that hardσ is flat.
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE bool passes_gradient(T pre, T slope) {
  const T x = slope * pre;
  return x >= T(-1) && x <= T(1);
}

/// dL/ds of the straight-through estimator from dL/dz, where it passes.
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE T slope_gradient(T dz, T slope) {
  return dz * slope * T(0.5);
}

// z selects the operation, so its gradient includes what the other operation would have changed:
//
// clang-format off
//              dL/dz_t^{l-1}                                           dL/dz_{t-1}^l
//   UPDATE     D·(fc+ig-c) + dh'·(h'-h) + ds·BU + ds_z w_z·x           -D·fc + ds·TD + ds_z v_z·h^
//   COPY       dc'·(fc+ig-c) + dh'·(o tanh(LN c) - h) + ds_z w_z·x     dc'·(ig-c) + dh'·(o tanh(LN c) - h) + ds_z v_z·h^
//   FLUSH y=1  ds·BU + ds_z w_z·x                                      -D·fc + ds·TD + ds_z v_z·h^
//   FLUSH y=0  ds·BU + ds_z w_z·x                                      D·(ig-c) + dh'·(h'-h) + ds·TD + ds_z v_z·h^
// clang-format on
//
// y = z_t^{l-1}, D = dL/dc' through both outputs, x = h_t^{l-1}, h^ = h_{t-1}^{l+1}; BU and TD are the terms W x and
// V h^ after their norms; at COPY f, i, o, g are those of s = R(h) + b.

/// What one step of layer l adds to dL/dz_t of the layer below and to dL/dz_{t-1} of its own.
template <class T>
struct BoundaryGradients {
  T below = T(0);
  T before = T(0);
};

/// The part of the table that comes through c and h, at an active step: forget = D·fc, input = D·ig, cell = D·c,
/// jump = dh'·(h'-h).
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE BoundaryGradients<T> active_step_gradients(const Operation& operation, T forget, T input,
                                                                          T cell, T jump) {
  return {operation.flush ? T(0) : forget + input - cell + jump, operation.bottom_up ? -forget : input - cell + jump};
}

/// The same at a COPY: forget = dc'·fc, input = dc'·(ig-c), jump = dh'·(o tanh(LN c) - h).
template <class T>
HMRNN_HOST_DEVICE HMRNN_INLINE BoundaryGradients<T> copy_step_gradients(T forget, T input, T jump) {
  return {forget + input + jump, input + jump};
}

}  // namespace hmrnn::rules
