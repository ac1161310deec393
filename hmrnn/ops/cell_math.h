#pragma once

// One HM-LSTM step of one row, forwards and backwards: the only fast definition of the cell. Every function is a
// template on a Row policy, which defines how a loop over the units runs: vectorised on the CPU (cpu/vector_row.h), a
// thread block on CUDA (cuda/block.h). A policy has
//   T                      the scalar type;  V  the values of one iteration (a vector register, or T)
//   each(n, f)             f(at) for all 0 ≤ j < n, where at.load(p), at.store(p, v), at.add(p, v) access p[j…]
//                          (load and store also for p of the products' type P, below), and at.factors(dropout) are
//                          the factors of the units j… (dropout_bits.h)
//   sums<K>(n, f)          K sums over j of what f(at) returns (an array of K values V)
//   sigmoid(v), sqrt(x)    of a V, of a T
//   kUnswitch              whether a condition that is the same for a whole row becomes a compile-time constant of its
//                          loops, which are then compiled once for each value (a condition inside a loop keeps the
//                          compiler from vectorising it well)
// P is the type that products are stored in: T, or bfloat16 if T is float; everything is computed in T.
// Names follow the paper; the formulas of the backward pass are derived in the comments beside them.

#include <array>
#include <cstdint>
#include <type_traits>

#include "hmrnn/ops/dropout_bits.h"

// The same templates are compiled for several instruction sets: the inline namespace keeps the linker from mixing them.
#ifdef CPU_CAPABILITY
#define HMRNN_ISA CPU_CAPABILITY
#else
#define HMRNN_ISA PORTABLE
#endif

namespace hmrnn::cell {

/// Mean and 1/√(variance + eps) of one row.
template <class T>
struct Moments {
  T mean;
  T rstd;
};

/// One of the three products of a step for one row: M x (4d values), its moments, and its layer norm's gain and bias
/// (null without layer norm: the value is M x itself; a null bias is 0, or was added elsewhere). `raw` null: the
/// product is not part of the step.
template <class T, class P = T>
struct Term {
  const P* raw = nullptr;
  Moments<T> moments{T(0), T(1)};
  const T* gain = nullptr;
  const T* bias = nullptr;
};

/// The layer norm of c (null gain: none).
template <class T>
struct CellNorm {
  const T* gain = nullptr;
  const T* bias = nullptr;
  T eps = T(1e-5);
};

/// What active_backward returns besides its gradients: dot products that dL/dz needs.
template <class T>
struct ActiveDots {
  T forget;  ///< D · (f⊙c)
  T input;   ///< D · (i⊙m⊙g)
  T cell;    ///< D · c
  T jump;    ///< dh' · (h' - h)
};

/// The two dot products of a COPY run with dc, which are constant over the run.
template <class T>
struct CopyDots {
  T forget;  ///< dc · (f⊙c)
  T input;   ///< dc · (i⊙m⊙g - c)
};

inline namespace HMRNN_ISA {

/// tanh x = 2σ(2x) - 1: the absolute error is that of σ, which is what a gate needs.
template <class Row>
HMRNN_HOST_DEVICE HMRNN_INLINE typename Row::V tanh(const Row& row, typename Row::V x) {
  using V = typename Row::V;
  return V(2) * row.sigmoid(V(2) * x) - V(1);
}

/// The moments of K rows of n values at once (of a null row: 0 and 1): two reductions, whatever K is, for policies
/// whose reductions are expensive.
template <int K, class Row, class T = typename Row::T>
HMRNN_HOST_DEVICE std::array<Moments<T>, K> moments(const Row& row, int64_t n, const std::array<const T*, K>& x,
                                                    T eps) {
  using V = typename Row::V;
  auto mean = row.template sums<K>(n, [&](auto at) {
    std::array<V, K> out;
    for (int k = 0; k < K; ++k) out[k] = x[k] != nullptr ? at.load(x[k]) : V(T(0));
    return out;
  });
  for (int k = 0; k < K; ++k) mean[k] = mean[k] / T(n);
  const auto squares = row.template sums<K>(n, [&](auto at) {
    std::array<V, K> out;  // all loads first: none waits for the use of another
    for (int k = 0; k < K; ++k) out[k] = x[k] != nullptr ? at.load(x[k]) : V(mean[k]);
    for (int k = 0; k < K; ++k) {
      const V centred = out[k] - V(mean[k]);
      out[k] = centred * centred;
    }
    return out;
  });
  std::array<Moments<T>, K> out;
  for (int k = 0; k < K; ++k) {
    out[k] = x[k] != nullptr ? Moments<T>{mean[k], T(1) / row.sqrt(squares[k] / T(n) + eps)} : Moments<T>{T(0), T(1)};
  }
  return out;
}

template <class Row, class P, class T = typename Row::T>
HMRNN_HOST_DEVICE Moments<T> moments(const Row& row, int64_t n, const P* x, T eps) {
  using V = typename Row::V;
  const T mean = row.template sums<1>(n, [&](auto at) { return std::array<V, 1>{at.load(x)}; })[0] / T(n);
  const T variance = row.template sums<1>(n, [&](auto at) {
    const V centred = at.load(x) - V(mean);
    return std::array<V, 1>{centred * centred};
  })[0] / T(n);
  return {mean, T(1) / row.sqrt(variance + eps)};
}

/// f(flag), with a compile-time constant where the policy unswitches.
template <class Row, class F>
HMRNN_HOST_DEVICE HMRNN_INLINE auto with_constant(const Row&, bool flag, F f) {
  if constexpr (Row::kUnswitch) {
    return flag ? f(std::true_type()) : f(std::false_type());
  } else {
    return f(flag);
  }
}

/// The value of a term's elements `at` an offset: gain · (raw - mean) · rstd + bias. `normed`, `biased`: whether it has
/// a gain, and a bias.
template <class At, class T, class P, class Normed, class Biased>
HMRNN_HOST_DEVICE HMRNN_INLINE auto value(At at, int64_t offset, const Term<T, P>& term, Normed normed, Biased biased) {
  using V = decltype(at.load(term.raw));
  const V x = at.load(term.raw + offset);
  if (!normed) return x;
  const V scale = V(term.moments.rstd) * at.load(term.gain + offset), centred = x - V(term.moments.mean);
  if (!biased) return centred * scale;
  return centred * scale + at.load(term.bias + offset);
}

template <class Row, class T = typename Row::T>
HMRNN_HOST_DEVICE T dot(const Row& row, int64_t n, const T* x, const T* y) {
  using V = typename Row::V;
  return row.template sums<1>(n, [&](auto at) { return std::array<V, 1>{at.load(x) * at.load(y)}; })[0];
}

/// Σ_j ds_j · (value of the term)_j over the 4d gate rows: the gradient of the z factor before the term.
template <class Row, class P, class T = typename Row::T>
HMRNN_HOST_DEVICE T term_dot(const Row& row, int64_t n, const T* ds, const Term<T, P>& term) {
  using V = typename Row::V;
  return with_constant(row, term.gain != nullptr, [&](auto normed) {
    return row.template sums<1>(n, [&](auto at) {
      return std::array<V, 1>{at.load(ds) * value(at, 0, term, normed, term.bias != nullptr)};
    })[0];
  });
}

/// h = o ⊙ tanh(LN(c)); returns the moments of c (0 and 1 without layer norm). `o`, `c`, `h`: d values.
template <class Row, class T = typename Row::T>
HMRNN_HOST_DEVICE Moments<T> emit(const Row& row, int64_t d, const T* o, const T* c, const CellNorm<T>& norm, T* h) {
  const bool on = norm.gain != nullptr;
  const Moments<T> m = on ? moments(row, d, c, norm.eps) : Moments<T>{T(0), T(1)};
  const Term<T> cell{c, m, norm.gain, norm.bias};
  with_constant(row, on, [&](auto normed) {
    row.each(d, [&](auto at) { at.store(h, at.load(o) * tanh(row, value(at, 0, cell, normed, normed))); });
  });
  return m;
}

/// The gates of an active step, unit by unit: gates(at) are f, i, o, g = σ, σ, σ, tanh of s = R(h) + y·BU(x) + z·TD(h^)
/// + b. (Terms are members by value: the compiler would reload a term behind a reference after each store.)
template <class Row, class P, bool kBottomUp, bool kTopDown, class Normed = bool, class Biased = bool>
struct Gates {
  using T = typename Row::T;
  using V = typename Row::V;
  Row row;
  int64_t d;
  Term<T, P> recurrent, bottom_up, top_down;
  const T* bias;
  Normed normed;  ///< whether the terms have gains
  Biased biased;  ///< whether a term has a bias of its own

  template <class At>
  HMRNN_HOST_DEVICE HMRNN_INLINE V of(At at, int64_t offset, const Term<T, P>& term) const {
    return value(at, offset, term, normed, biased && term.bias != nullptr);
  }
  template <class At>
  HMRNN_HOST_DEVICE HMRNN_INLINE V pre(At at, int64_t offset) const {
    V s = of(at, offset, recurrent) + at.load(bias + offset);
    if constexpr (kBottomUp) s = s + of(at, offset, bottom_up);
    if constexpr (kTopDown) s = s + of(at, offset, top_down);
    return s;
  }
  template <class At>
  HMRNN_HOST_DEVICE HMRNN_INLINE std::array<V, 4> operator()(At at) const {
    return {row.sigmoid(pre(at, 0)), row.sigmoid(pre(at, d)), row.sigmoid(pre(at, 2 * d)), tanh(row, pre(at, 3 * d))};
  }
};

/// f(gates) with the gates of these terms
template <class Row, class P, class F, class T = typename Row::T>
HMRNN_HOST_DEVICE HMRNN_INLINE void with_gates(const Row& row, int64_t d, const Term<T, P>& recurrent,
                                               const Term<T, P>& bottom_up, const Term<T, P>& top_down, const T* bias,
                                               F f) {
  const auto of_kind = [&](auto normed, auto biased) {
    using Normed = decltype(normed);
    using Biased = decltype(biased);
    if (bottom_up.raw != nullptr && top_down.raw != nullptr) {
      f(Gates<Row, P, true, true, Normed, Biased>{row, d, recurrent, bottom_up, top_down, bias, normed, biased});
    } else if (bottom_up.raw != nullptr) {
      f(Gates<Row, P, true, false, Normed, Biased>{row, d, recurrent, bottom_up, top_down, bias, normed, biased});
    } else if (top_down.raw != nullptr) {
      f(Gates<Row, P, false, true, Normed, Biased>{row, d, recurrent, bottom_up, top_down, bias, normed, biased});
    } else {
      f(Gates<Row, P, false, false, Normed, Biased>{row, d, recurrent, bottom_up, top_down, bias, normed, biased});
    }
  };
  const bool biased = recurrent.bias != nullptr || bottom_up.bias != nullptr || top_down.bias != nullptr;
  if constexpr (Row::kUnswitch) {
    if (recurrent.gain != nullptr && !biased) return of_kind(std::true_type(), std::false_type());
  }
  of_kind(recurrent.gain != nullptr, biased);
}

/// `gates` 4d (out): f, i, o, g of an active step, computed again from its terms.
template <class Row, class P, class T = typename Row::T>
HMRNN_HOST_DEVICE void active_gates(const Row& row, int64_t d, const Term<T, P>& recurrent, const Term<T, P>& bottom_up,
                                    const Term<T, P>& top_down, const T* bias, T* gates) {
  with_gates(row, d, recurrent, bottom_up, top_down, bias, [&](auto gates_of) {
    row.each(d, [&](auto at) {
      const auto values = gates_of(at);
      for (int k = 0; k < 4; ++k) at.store(gates + k * d, values[k]);
    });
  });
}

/// g as a step writes it: m⊙g.
template <class At, class V, class T>
HMRNN_HOST_DEVICE HMRNN_INLINE V written(At at, V g, const Dropout<T>& dropout) {
  return dropout.on() ? g * at.factors(dropout) : g;
}

/// c' and h' of an active step whose gates are known, f, i, o, g without m; otherwise as active_forward.
template <class Row, class T = typename Row::T>
HMRNN_HOST_DEVICE Moments<T> active_cell(const Row& row, int64_t d, const T* gates, const T* c, const CellNorm<T>& norm,
                                         const Dropout<T>& dropout, T* c_new, T* h_new) {
  row.each(d, [&](auto at) {
    auto cell = at.load(gates + d) * written(at, at.load(gates + 3 * d), dropout);
    if (c != nullptr) cell = cell + at.load(gates) * at.load(c);
    at.store(c_new, cell);
  });
  return emit(row, d, gates + 2 * d, c_new, norm, h_new);
}

/// An active step (UPDATE, or FLUSH when c is null), forwards: c' = f⊙c + i⊙m⊙g (FLUSH: i⊙m⊙g), with m of `dropout`;
/// h' = o⊙tanh(LN(c')). (Policies that unswitch take no dropout here, which would compile all of these loops twice;
/// they have active_gates and active_cell.) `bias` 4d; `gates` 4d (out, g without m); `c_new`, `h_new` d (out); c_new
/// may be c. Returns the moments of c'.
template <class Row, class P, class T = typename Row::T>
HMRNN_HOST_DEVICE Moments<T> active_forward(const Row& row, int64_t d, const Term<T, P>& recurrent,
                                            const Term<T, P>& bottom_up, const Term<T, P>& top_down, const T* bias,
                                            const T* c, const CellNorm<T>& norm, const Dropout<T>& dropout, T* gates,
                                            T* c_new, T* h_new) {
  with_gates(row, d, recurrent, bottom_up, top_down, bias, [&](auto gates_of) {
    row.each(d, [&](auto at) {
      const auto values = gates_of(at);
      for (int k = 0; k < 4; ++k) at.store(gates + k * d, values[k]);
      auto g = values[3];
      if constexpr (!Row::kUnswitch) g = written(at, g, dropout);
      auto cell = values[1] * g;
      if (c != nullptr) cell = cell + values[0] * at.load(c);
      at.store(c_new, cell);
    });
  });
  return emit(row, d, gates + 2 * d, c_new, norm, h_new);
}

/// An active step backwards: from dh', dc' (d each) to ds (4d) and dc of t-1 (d).
///   D = dc' + LN'(dh' ⊙ o ⊙ (1-q²)), q = tanh(LN(c'));
///   ds = [D c f(1-f) (UPDATE only), D m g i(1-i), dh' q o(1-o), D i m(1-g²)];  dc = D f at UPDATE, 0 at FLUSH.
/// `c`, `h` are those of t-1 (needed at FLUSH too, for the dots; h' is o ⊙ q), `flush`: whether the step was a FLUSH.
/// `scratch`: d values. gain_grad, bias_grad: d each, added to (null without layer norm). `ds` may not alias `gates`.
template <class Row, class T = typename Row::T>
HMRNN_HOST_DEVICE ActiveDots<T> active_backward(const Row& row, int64_t d, bool flush, const T* dh, const T* dc,
                                                const T* gates, const T* c, const T* c_new, const T* h,
                                                const Moments<T>& cell_moments, const CellNorm<T>& norm,
                                                const Dropout<T>& dropout, T* scratch, T* ds, T* dc_prev, T* gain_grad,
                                                T* bias_grad) {
  using V = typename Row::V;
  const bool on = norm.gain != nullptr;
  const Term<T> cell{c_new, cell_moments, norm.gain, norm.bias};
  const T* f = gates;
  const T* i = gates + d;
  const T* o = gates + 2 * d;
  const T* g = gates + 3 * d;
  T* d_normed = scratch;  // gradient of the normalised c', gain applied
  const auto centred = [&](auto at) { return (at.load(c_new) - V(cell_moments.mean)) * V(cell_moments.rstd); };
  const auto means = row.template sums<3>(d, [&](auto at) {
    const V q = tanh(row, value(at, 0, cell, on, on));
    const V out = at.load(o), dhv = at.load(dh);
    V x = dhv * out * (V(1) - q * q);
    at.store(ds + 2 * d, dhv * q * out * (V(1) - out));
    if (!on) {
      at.store(d_normed, x);
      return std::array<V, 3>{V(0), V(0), dhv * out * q};
    }
    const V hat = centred(at);
    at.add(gain_grad, x * hat);
    at.add(bias_grad, x);
    x = x * at.load(norm.gain);
    at.store(d_normed, x);
    return std::array<V, 3>{x, x * hat, dhv * out * q};
  });
  const T m1 = means[0] / T(d), m2 = means[1] / T(d);
  const auto dots = row.template sums<4>(d, [&](auto at) {
    V D = at.load(dc);
    const V x = at.load(d_normed);
    D = D + (on ? V(cell_moments.rstd) * (x - V(m1) - centred(at) * V(m2)) : x);
    const V fv = at.load(f), iv = at.load(i), cv = at.load(c);
    V gv = at.load(g), dg = D * iv * (V(1) - gv * gv);
    if (dropout.on()) {
      const V m = at.factors(dropout);
      gv = gv * m;
      dg = dg * m;
    }
    const V fc = fv * cv;
    at.store(ds, flush ? V(0) : D * fc * (V(1) - fv));
    at.store(ds + d, D * gv * iv * (V(1) - iv));
    at.store(ds + 3 * d, dg);
    at.store(dc_prev, flush ? V(0) : D * fv);
    return std::array<V, 4>{D * fc, D * iv * gv, D * cv, at.load(dh) * at.load(h)};
  });
  return {dots[0], dots[1], dots[2], means[2] - dots[3]};
}

/// Gradient of a term's raw product from ds (n = 4d values): LN backwards, or a copy of ds. Adds ds⊙normalised to
/// gain_grad (with layer norm) and ds to bias_grad (null: not needed). Returns ds · value, the gradient of the z factor
/// before the term. `Raw`: the type that d_raw is stored in.
template <class Row, class P, class Raw, class T = typename Row::T>
HMRNN_HOST_DEVICE T term_backward(const Row& row, int64_t n, const T* ds, const Term<T, P>& of, Raw* d_raw,
                                  T* gain_grad, T* bias_grad) {
  using V = typename Row::V;
  const Term<T, P> term = of;  // a copy: see Gates
  if (term.gain == nullptr) {
    row.each(n, [&](auto at) {
      at.store(d_raw, at.load(ds));
      if (bias_grad != nullptr) at.add(bias_grad, at.load(ds));
    });
    return term_dot(row, n, ds, term);
  }
  const V mean(term.moments.mean), rstd(term.moments.rstd);
  const auto s = with_constant(row, term.bias != nullptr, [&](auto biased) {
    return with_constant(row, bias_grad != nullptr, [&](auto with_bias_grad) {
      return row.template sums<3>(n, [&](auto at) {
        const V hat = (at.load(term.raw) - mean) * rstd;
        const V d = at.load(ds);
        at.add(gain_grad, d * hat);
        if (with_bias_grad) at.add(bias_grad, d);
        const V x = d * at.load(term.gain);
        return std::array<V, 3>{x, x * hat, biased ? d * at.load(term.bias) : V(T(0))};
      });
    });
  });
  const V m1(s[0] / T(n)), m2(s[1] / T(n));
  row.each(n, [&](auto at) {
    const V hat = (at.load(term.raw) - mean) * rstd;
    at.store(d_raw, rstd * (at.load(ds) * at.load(term.gain) - m1 - hat * m2));
  });
  return s[1] + s[2];
}

/// A COPY step changes nothing, but its z have gradients through what an UPDATE or FLUSH would have written. During a
/// run of COPYs of a state (h, c) the gates of these operations are constant: those of s = R(h) + b. Fills `delta` =
/// o⊙tanh(LN(c)) - h (d values; its dot with dh' is needed at every step) and returns the dots with dc. `scratch`: d
/// values.
template <class Row, class P, class T = typename Row::T>
HMRNN_HOST_DEVICE CopyDots<T> copy_run(const Row& row, int64_t d, const Term<T, P>& recurrent, const T* bias,
                                       const T* c, const T* h, const CellNorm<T>& norm, const Dropout<T>& dropout,
                                       const T* dc, T* scratch, T* delta) {
  using V = typename Row::V;
  const Gates<Row, P, false, false> gates{
      row, d, recurrent, {}, {}, bias, recurrent.gain != nullptr, recurrent.bias != nullptr};
  const auto dots = row.template sums<2>(d, [&](auto at) {
    const auto values = gates(at);
    const V cv = at.load(c), dcv = at.load(dc);
    at.store(scratch, values[2]);
    return std::array<V, 2>{dcv * values[0] * cv, dcv * (values[1] * written(at, values[3], dropout) - cv)};
  });
  emit(row, d, scratch, c, norm, delta);
  row.each(d, [&](auto at) { at.store(delta, at.load(delta) - at.load(h)); });
  return {dots[0], dots[1]};
}

}  // namespace HMRNN_ISA
}  // namespace hmrnn::cell
