#pragma once

// The kernel of a step backwards, for one row. When it starts, all terms of dh_t are in memory: the product of the
// gradients that later kernels wrote, the boundaries' gradients, what a COPY passes on, and the caller's gradient. It
// passes on dc and z's gradients, and writes the gradients of the step's three products, which the products of earlier
// steps read. Which gradients z has is the table in ops/rules.h.

#include "hmrnn/ops/cuda/block.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Completes dh of the row, in s.dh.
template <class Row, class T, class P>
HMRNN_HOST_DEVICE void collect(const Row& row, int64_t b, const StepBackward<T, P>& s) {
  using V = typename Row::V;
  const int64_t d = s.units;
  T* dh = s.dh + b * d;
  row.each(d, [&](auto at) {
    V x = at.load(dh);
    if (s.through_products != nullptr) {
      for (int64_t part = 0; part < s.through_parts; ++part) {
        const V y = at.load(s.through_products + (part * s.batch + b) * d);
        x = x + (s.mask != nullptr && part > 0 ? y * at.load(s.mask + b * d) : y);
      }
    }
    if (s.grad_h != nullptr) x = x + at.load(s.grad_h + b * d);
    if (s.through_boundaries != nullptr) {
      HMRNN_UNROLL
      for (int k = 0; k < kProducts; ++k) {
        x = x + V(s.through_boundaries[kProducts * b + k]) * at.load(s.boundary_rows + k * d);
      }
    }
    at.store(dh, x);
  });
}

/// UPDATE or FLUSH. Writes the gradients of the products and dc; sets dh to 0.
template <class Row, class T, class P>
HMRNN_HOST_DEVICE rules::BoundaryGradients<T> active_step(const Row& row, int64_t b, const rules::Operation& operation,
                                                          const Term<T>* term, const StepBackward<T, P>& s) {
  using V = typename Row::V;
  const int64_t d = s.units;
  T* dh = s.dh + b * d;
  T* dc = s.dc + b * d;
  T* ds = s.scratch + b * 6 * d;
  T* scratch = ds + 4 * d;
  const bool norm = s.norm.gain != nullptr;
  const auto sums = [&](T* p) { return p != nullptr ? p + b * s.sums_stride : nullptr; };
  const auto dots =
      cell::active_backward(row, d, operation.flush, dh, dc, s.gates + b * 4 * d, s.c + b * d, s.c_new + b * d,
                            s.h + b * d, s.cell_moments[b], s.norm, s.dropout_of(b), scratch, ds, dc,
                            norm ? sums(s.cell_gain) : nullptr, norm ? sums(s.cell_bias) : nullptr);
  row.each(d, [&](auto at) { at.store(dh, V(T(0))); });
  // ds was written in a loop over d and is read in loops over 4d, by other threads: the sums have a barrier in between.

  T through[kProducts];  // ds · value: gradient of the z factor before the term
  HMRNN_UNROLL
  for (int k = 0; k < kProducts; ++k) {
    through[k] = T(0);
    if (s.term[k].raw == nullptr) continue;
    const auto& to = s.d_term[k];
    P* raw = to.raw + b * to.stride;
    if (uses(operation, k)) {
      through[k] = cell::term_backward(row, 4 * d, ds, term[k], raw, sums(to.gain), sums(to.bias));
    } else {
      row.each(4 * d, [&](auto at) { at.store(raw, V(T(0))); });
      if (s.detect) through[k] = cell::term_dot(row, 4 * d, ds, term[k]);
    }
  }
  const auto dz = rules::active_step_gradients<T>(operation, dots.forget, dots.input, dots.cell, dots.jump);
  return {through[kBottomUp] + dz.below, through[kTopDown] + dz.before};
}

/// COPY: dh and dc pass through, z's gradients are those of what UPDATE or FLUSH would have done.
template <class Row, class T, class P>
HMRNN_HOST_DEVICE rules::BoundaryGradients<T> copy_step(const Row& row, int64_t b, const Term<T>& recurrent,
                                                        const StepBackward<T, P>& s) {
  if (!s.detect) return {T(0), T(0)};
  const int64_t d = s.units;
  T* scratch = s.scratch + b * 6 * d + 4 * d;
  T* delta = scratch + d;
  const auto dots = cell::copy_run(row, d, recurrent, s.bias, s.c + b * d, s.h + b * d, s.norm, s.dropout_of(b),
                                   s.dc + b * d, scratch, delta);
  const T jump = cell::dot(row, d, s.dh + b * d, delta);
  return rules::copy_step_gradients(dots.forget, dots.input, jump);
}

template <int N, class Block, class T, class P>
HMRNN_HOST_DEVICE void step_backward(const Block& block, int64_t b, const StepBackward<T, P>& s) {
  const BlockRow<Block, T, N> row(block);
  using V = typename BlockRow<Block, T, N>::V;
  const int64_t d = s.units;
  const bool live = s.live(b);
  const auto operation = s.operation(b);
  const bool active = live && operation.active();
  collect(row, b, s);
  if (!active) {
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      if (s.term[k].raw == nullptr) continue;
      P* raw = s.d_term[k].raw + b * s.d_term[k].stride;
      row.each(4 * d, [&](auto at) { at.store(raw, V(T(0))); });
    }
  }

  T dz = T(0), d_pre = T(0);
  if (s.dz != nullptr) {
    // All threads read it before the first one overwrites it at the end: there are reductions in between, or a barrier.
    dz = s.dz[b * s.z_stride] + (s.grad_z != nullptr ? s.grad_z[b * s.z_stride] : T(0));
    if (live && rules::passes_gradient(s.pre[b], *s.slope)) d_pre = rules::slope_gradient(dz, *s.slope);
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      const auto& to = s.d_term[k];
      if (!row.first() || to.dot == nullptr) continue;
      to.dot[b * to.dot_stride] = uses(operation, k) ? d_pre : T(0);
    }
  }

  rules::BoundaryGradients<T> out{T(0), dz};  // past the end z is that of the step before: so is its gradient
  if (live) {
    Term<T> term[kProducts];
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      if (s.term[k].raw == nullptr) continue;
      term[k] = {s.term[k].values(b), {T(0), T(1)}, s.term[k].gain, s.term[k].bias};
      if (term[k].gain != nullptr) term[k].moments = s.term_moments[kProducts * b + k];
    }
    out = active ? active_step(row, b, operation, term, s) : copy_step(row, b, term[kRecurrent], s);
    if (s.dz != nullptr) {
      if (s.dz_below != nullptr) out.below += d_pre * s.term[kBottomUp].boundary(b);
      out.before += d_pre * s.term[kTopDown].boundary(b);
    }
  }
  row.barrier();
  if (!row.first()) return;
  if (s.dz_below != nullptr) s.dz_below[b * s.z_stride] += out.below;
  if (s.dz != nullptr) s.dz[b * s.z_stride] = out.before;
}

}  // namespace hmrnn::cuda
