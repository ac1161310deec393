#pragma once

// The kernel of a step forwards. A row's products are ready in memory; the kernel makes passes over the row: moments of
// the products (two reductions for all three), gates, c, h with its layer norm (two), and the products of h with the
// boundary rows (one). z is decided first, from boundary products that earlier steps computed.

#include "hmrnn/ops/cuda/block.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// z of a live row. `pre` is written where it is needed.
template <class T, class P>
HMRNN_HOST_DEVICE T decide(const StepForward<T, P>& s, int64_t b, const rules::Operation& operation) {
  T pre = T(0);
  if (s.dots != nullptr) {
    pre = s.term[kRecurrent].boundary(b) + s.bias[4 * s.units];
    if (operation.flush) pre += s.term[kTopDown].boundary(b);
    if (operation.bottom_up) pre += s.term[kBottomUp].boundary(b);
  }
  if (s.pre != nullptr) s.pre[b] = pre;
  if (s.given != nullptr) return s.given[b * s.z_stride];
  return rules::decide(pre, *s.slope, s.noise != nullptr ? s.noise + b * s.z_stride : nullptr);
}

/// dots = boundary_rows · h, of one row.
template <class Row, class T>
HMRNN_HOST_DEVICE void multiply_boundary_rows(const Row& row, int64_t d, const T* boundary_rows, const T* h, T* dots) {
  using V = typename Row::V;
  const auto sums = row.template sums<kProducts>(d, [&](auto at) {
    const V x = at.load(h);
    std::array<V, kProducts> out;
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) out[k] = x * at.load(boundary_rows + k * d);
    return out;
  });
  if (!row.first()) return;
  HMRNN_UNROLL
  for (int k = 0; k < kProducts; ++k) dots[k] = sums[k];
}

template <int N, class Block, class T>
HMRNN_HOST_DEVICE void boundary_products(const Block& block, int64_t b, const BoundaryProducts<T>& s) {
  const BlockRow<Block, T, N> row(block);
  multiply_boundary_rows(row, s.units, s.boundary_rows, s.h + b * s.units, s.dots + kProducts * b);
}

template <int N, class Block, class T, class P>
HMRNN_HOST_DEVICE void step_forward(const Block& block, int64_t b, const StepForward<T, P>& s) {
  const BlockRow<Block, T, N> row(block);
  const int64_t d = s.units;
  const bool live = s.live(b);
  const auto operation = s.operation(b);
  const bool active = live && operation.active();
  if (row.first()) {
    if (s.z != nullptr) s.z[b * s.z_stride] = live ? decide(s, b, operation) : s.z_before[b * s.z_stride];
    s.state[b] = static_cast<int32_t>(s.state_number(b) + (active ? 1 : 0));
  }

  Term<T> term[kProducts];
  std::array<const T*, kProducts> norm_of;
  HMRNN_UNROLL
  for (int k = 0; k < kProducts; ++k) {
    const bool used = active && uses(operation, k);
    const T* raw = s.term[k].values(b);
    norm_of[k] = s.norm.gain != nullptr && (used || (s.every_moment && live)) ? raw : nullptr;
    if (used) term[k] = {raw, {T(0), T(1)}, s.term[k].gain, s.term[k].bias};
  }
  if (s.norm.gain != nullptr && live && (active || s.every_moment)) {
    const auto moments = cell::moments<kProducts>(row, 4 * d, norm_of, s.norm.eps);
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) {
      term[k].moments = moments[k];
      if (row.first()) s.term_moments[kProducts * b + k] = moments[k];
    }
  }

  const T* h = s.h + b * d;
  const T* c = s.c + b * d;
  T* h_new = s.h_new + b * d;
  T* c_new = s.c_new + b * d;
  if (active) {
    const auto moments =
        cell::active_forward(row, d, term[kRecurrent], term[kBottomUp], term[kTopDown], s.bias,
                             operation.flush ? nullptr : c, s.norm, s.dropout_of(b), s.gates + b * 4 * d, c_new, h_new);
    if (row.first()) s.cell_moments[b] = moments;
  } else {  // COPY, or past the end
    row.each(d, [&](auto at) {
      at.store(h_new, at.load(h));
      at.store(c_new, at.load(c));
    });
  }
  if (s.h_operand != nullptr) {
    row.each(d, [&](auto at) { at.store(s.h_operand + b * d, at.load(h_new)); });
  }
  if (s.shown != nullptr) {
    row.each(d, [&](auto at) { at.store(s.shown + b * d, at.load(s.mask + b * d) * at.load(h_new)); });
  }
  if (s.dots_new == nullptr) return;
  T* dots = s.dots_new + kProducts * b;
  if (active) {
    multiply_boundary_rows(row, d, s.boundary_rows, h_new, dots);
  } else if (row.first()) {
    HMRNN_UNROLL
    for (int k = 0; k < kProducts; ++k) dots[k] = s.dots[kProducts * b + k];
  }
}

/// Block (v, segment, chunk) sums threads · N columns of row v of the table, from column chunk · threads · N on. Needs
/// no barrier.
template <int N, class Block, class T, class Q>
HMRNN_HOST_DEVICE void sum_rows(const Block& block, int64_t v, int64_t segment, int64_t chunk, const SumRows<T, Q>& s) {
  const int64_t j = (chunk * block.threads() + block.thread()) * N;
  if (j >= s.width) return;
  const int64_t share = (s.n + s.segments - 1) / s.segments, begin = segment * share;
  const int64_t end = begin + share < s.n ? begin + share : s.n;
  T sum[N];
  for (int k = 0; k < N; ++k) sum[k] = T(0);
  for (int64_t i = begin; i < end; ++i) {
    const int64_t r = s.index[i];
    if ((r < 0 ? 0 : r < s.table ? r : s.table - 1) != v) continue;
    for (int k = 0; k < N; ++k) sum[k] += static_cast<T>(s.rows[i * s.width + j + k]);
  }
  T* out = s.out + (segment * s.table + v) * s.width + j;
  for (int k = 0; k < N; ++k) out[k] = sum[k];
}

}  // namespace hmrnn::cuda
