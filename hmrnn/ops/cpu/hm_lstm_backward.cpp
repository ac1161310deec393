// The window backwards (hm_lstm.h): dh and dc pass through a COPY; the transposed products are applied once per active
// row-step, at the step that ends a state, since the COPY steps before it need the complete dh; weight gradients are
// one product a matrix over all active row-steps, after the loop. The table of gradients of z that this computes:
//
//              dL/dz_t^{l-1}                                            dL/dz_{t-1}^l
//   UPDATE     D·(fc+ig-c) + dh'·(h'-h) + ds·BU + ds_z w_z·x            -D·fc + ds·TD + ds_z v_z·h^
//   COPY       dc'·(fc+ig-c) + dh'·(o tanh(LN c) - h) + ds_z w_z·x      dc'·(ig-c) + dh'·(o tanh(LN c) - h) + ds_z
//   v_z·h^ FLUSH y=1  ds·BU + ds_z w_z·x                                       -D·fc + ds·TD + ds_z v_z·h^ FLUSH y=0
//   ds·BU + ds_z w_z·x                                       D·(ig-c) + dh'·(h'-h) + ds·TD + ds_z v_z·h^
//
// D = dL/dc' through both outputs, x = h_t^{l-1}, h^ = h_{t-1}^{l+1}; at COPY f, i, o, g are those of s = R(h) + b.

#include "hmrnn/ops/cpu/gradient_sums.h"
#include "hmrnn/ops/cpu/window.h"

namespace hmrnn::cpu {

namespace {

/// Products that only dL/dz needs, made in one batch before the time loop.
struct Extra {
  at::Tensor raw;    ///< [n, 4d]
  at::Tensor stats;  ///< [n, 2]
  std::vector<int32_t>
      row;  ///< per slot (bottom-up), per state above (top-down) or per row (recurrent): row of raw, or -1
};

template <class T>
class Backward {
 public:
  Backward(const HMLSTMArguments& a, const WindowResult& result, const std::vector<at::Tensor>& saved,
           const std::vector<at::Tensor>& grad_h, const std::vector<at::Tensor>& grad_c_n, const at::Tensor& grad_z)
      : a_(a),
        result_(result),
        k_(cell_kernels<T>()),
        T_(a.steps()),
        B_(a.batch()),
        L_(a.layers()),
        threads_(std::max(1, at::get_num_threads())),
        slope_(static_cast<T>(a.slope.item<double>())),
        detect_(a.detect() && a.layers() > 1),
        bf16_(a.product_dtype && *a.product_dtype == at::kBFloat16),
        layers_(layer_views<T>(a)),
        options_(a.h0[0].options().requires_grad(false)) {
    grad_h_.resize(L_);
    for (int64_t l = 0; l < L_; ++l) {
      if (grad_h[l].defined()) grad_h_[l] = grad_h[l].contiguous();
    }
    if (grad_z.defined()) grad_z_ = grad_z.contiguous();
    int64_t widest = 1;
    for (int64_t l = 0; l < L_; ++l) {
      tape_.push_back(LayerTape<T>::from(saved, l));
      const auto& y = layers_[l];
      const int64_t d = y.d;
      widest = std::max({widest, d, y.below});
      u_.emplace_back(y.recurrent, 4 * d, d, bf16_);
      w_.emplace_back(y.bottom_up, 4 * d, y.below, bf16_);
      v_.emplace_back(y.top_down, y.top() ? 0 : 4 * d, y.above, bf16_);
      auto& s = layer_.emplace_back();
      s.n = count(l, 0);
      s.end = s.n;
      s.end_w = count(l, 1);
      s.end_v = count(l, 2);
      s.dh = at::zeros({B_, d}, options_);
      s.dc = grad_c_n[l].defined() ? grad_c_n[l].clone(at::MemoryFormat::Contiguous) : at::zeros({B_, d}, options_);
      s.dz.assign(B_, T(0));
      s.du = at::empty({s.n, 4 * d}, options_);
      s.dw = at::empty({l == 0 ? (a.index ? B_ : T_ * B_) : s.end_w, 4 * d}, options_);
      s.dv = at::empty({s.end_v, 4 * d}, options_);
      s.sums.assign(threads_, GradientSums<T>(d, a.layer_norm()));
      s.ending.assign(B_, -1);
      s.run_ready.assign(B_, 0);
      s.run_dots.resize(B_);
      if (detect_) s.delta = at::empty({B_, d}, options_);
      if (detect_ && !y.top()) s.d_pre = at::zeros({T_, B_}, options_);
    }
    if (a.index) table_ds_ = at::zeros({a.input.size(0), 4 * layers_[0].d}, options_);
    if (!a.index && layer_[0].n < T_ * B_) layer_[0].dw.zero_();  // steps past a sequence's end
    scratch_ = at::empty({threads_, 8 * widest}, options_);
    ds_ = at::empty({B_, 4 * widest}, options_);
    out_ = at::empty({B_, widest}, options_);
    if (a.lengths) {
      const auto lengths = a.lengths->to(at::kCPU, at::kLong).contiguous();
      lengths_.assign(lengths.const_data_ptr<int64_t>(), lengths.const_data_ptr<int64_t>() + B_);
    }
    if (detect_) {
      boundary_dots();
      extra_products();
    }
  }

  HMLSTMGradients run() {
    for (int64_t t = T_ - 1; t >= 0; --t) {
      for (int64_t l = L_ - 1; l >= 0; --l) step(t, l);
    }
    return finish();
  }

 private:
  struct LayerState {
    int64_t n = 0;                          ///< slots
    int64_t end = 0, end_w = 0, end_v = 0;  ///< slots and rows of raw_w, raw_v not yet walked over
    at::Tensor dh, dc;                      ///< [B, d] of the state after the step at hand
    std::vector<T> dz;                      ///< [B] of z after the step at hand
    at::Tensor du, dw, dv;                  ///< gradients of the raw products, laid out as these
    at::Tensor d_pre;                       ///< [T, B] dL/ds_z
    std::vector<GradientSums<T>> sums;      ///< per thread
    // COPY runs, walked from their end: what is constant over the run, made at its last COPY step
    std::vector<int32_t> ending;  ///< [B] slot of the step that ends the state at hand, -1: none in the window
    std::vector<char> run_ready;
    std::vector<CopyDots<T>> run_dots;
    at::Tensor delta;  ///< [B, d]
    // for dL/dz alone
    Extra extra_w, extra_v, extra_u;
    at::Tensor w_z, v_z;  ///< [T, B] w_z·x and v_z·h^
  };

  int64_t count(int64_t l, int which) { return tape_[l].counts.template data_ptr<int64_t>()[which]; }
  int32_t slot(int64_t l, int64_t t, int64_t b) {
    return t < 0 ? -1 : tape_[l].slot.template data_ptr<int32_t>()[t * B_ + b];
  }
  const T* h_at(int64_t t, int64_t l, int64_t b) {
    const T* h = t < 0 ? a_.h0[l].template const_data_ptr<T>()
                       : result_.h[l].template const_data_ptr<T>() + t * B_ * layers_[l].d;
    return h + b * layers_[l].d;
  }
  const T* c_of(int64_t l, int32_t s, int64_t b) {
    return s >= 0 ? row_of<T>(tape_[l].c, s, layers_[l].d) : a_.c0[l].template const_data_ptr<T>() + b * layers_[l].d;
  }
  bool live(int64_t t, int64_t b) const { return lengths_.empty() || t < lengths_[b]; }
  /// The detector of layer l at step t is not saturated: dL/dz_t matters. z_0's always does.
  bool useful(int64_t t, int64_t b, int64_t l) {
    if (t < 0) return true;
    const T x = slope_ * tape_[l].pre.template data_ptr<T>()[t * B_ + b];
    return x >= T(-1) && x <= T(1);
  }
  Term<T> term(const at::Tensor& raw, const at::Tensor& stats, int64_t i, int64_t width, const T* gain, const T* bias) {
    Term<T> out{row_of<T>(raw, i, width), {T(0), T(1)}, gain, bias};
    if (gain != nullptr) out.moments = *row_of<Moments<T>>(stats, i, 1);
    return out;
  }

  /// w_z·x and v_z·h^ for every step: two matrix-vector products over the outputs.
  void boundary_dots() {
    for (int64_t l = 0; l + 1 < L_; ++l) {
      const auto& y = layers_[l];
      auto& s = layer_[l];
      if (l > 0) {
        s.w_z = at::empty({T_ * B_}, options_);
        gemm<T>(false, true, T_ * B_, 1, y.below, h_at(0, l - 1, 0), y.below, y.w_z(), y.below, T(0),
                s.w_z.template data_ptr<T>(), 1);
      }
      s.v_z = at::empty({T_ * B_}, options_);
      T* v = s.v_z.template data_ptr<T>();
      gemm<T>(false, true, B_, 1, y.above, h_at(-1, l + 1, 0), y.above, y.v_z(), y.above, T(0), v, 1);
      gemm<T>(false, true, (T_ - 1) * B_, 1, y.above, h_at(0, l + 1, 0), y.above, y.v_z(), y.above, T(0), v + B_, 1);
    }
  }

  void multiply_extra(Extra& extra, Product<T>& matrix, const std::vector<const T*>& x, T eps, bool norm) {
    const auto n = static_cast<int64_t>(x.size());
    auto gathered = at::empty({n, matrix.in()}, options_);
    extra.raw = at::empty({n, matrix.out()}, options_);
    extra.stats = at::empty({n, 2}, options_);
    for (int64_t i = 0; i < n; ++i) copy_row(row_of<T>(gathered, i, matrix.in()), x[i], matrix.in());
    matrix.forward(n, gathered.template data_ptr<T>(), extra.raw.template data_ptr<T>());
    if (!norm) return;
    for_rows(n, n * matrix.out(), [&](int64_t i, int64_t) {
      *row_of<Moments<T>>(extra.stats, i, 1) = k_.moments(matrix.out(), row_of<T>(extra.raw, i, matrix.out()), eps);
    });
  }

  void extra_products() {
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      auto& tape = tape_[l];
      auto& s = layer_[l];
      const auto* position = tape.position.template data_ptr<int32_t>();
      const auto* slot_w = tape.slot_w.template data_ptr<int32_t>();
      const auto* slot_v = tape.slot_v.template data_ptr<int32_t>();
      std::vector<const T*> x;
      if (l > 0) {  // BU at FLUSH with z_below = 0
        s.extra_w.row.assign(s.n, -1);
        for (int64_t i = 0; i < s.n; ++i) {
          const int64_t t = position[i] / B_, b = position[i] % B_;
          if (slot_w[i] >= 0 || !useful(t, b, l - 1)) continue;
          s.extra_w.row[i] = static_cast<int32_t>(x.size());
          x.push_back(h_at(t, l - 1, b));
        }
        multiply_extra(s.extra_w, w_[l], x, y.cell.eps, y.w_gain != nullptr);
      }
      if (!y.top()) {  // TD at UPDATE, once per state above, for states that no FLUSH has read
        // row: per state above (slot + B, or b for the initial ones): row of raw_v, or -2 - row of the extra ones
        auto& row = s.extra_v.row;
        row.assign(layer_[l + 1].n + B_, -1);
        const auto above = [&](int64_t t, int64_t b) {
          const int32_t k = slot(l + 1, t - 1, b);
          return k < 0 ? b : k + B_;
        };
        for (int64_t i = 0; i < s.n; ++i) {
          if (slot_v[i] >= 0) row[above(position[i] / B_, position[i] % B_)] = slot_v[i];
        }
        x.clear();
        for (int64_t i = 0; i < s.n; ++i) {
          const int64_t t = position[i] / B_, b = position[i] % B_;
          if (slot_v[i] >= 0 || row[above(t, b)] != -1 || !useful(t - 1, b, l)) continue;
          row[above(t, b)] = -2 - static_cast<int32_t>(x.size());
          x.push_back(h_at(t - 1, l + 1, b));
        }
        multiply_extra(s.extra_v, v_[l], x, y.cell.eps, y.v_gain != nullptr);
      }
      // R(h) of states that see a COPY and do not end in the window
      x.clear();
      s.extra_u.row.assign(B_, -1);
      for (int64_t b = 0; b < B_; ++b) {
        const int64_t last = (lengths_.empty() ? T_ : std::min(T_, lengths_[b])) - 1;
        if (last < 0 || slot(l, last, b) != slot(l, last - 1, b)) continue;
        s.extra_u.row[b] = static_cast<int32_t>(x.size());
        x.push_back(h_at(last, l, b));
      }
      multiply_extra(s.extra_u, u_[l], x, y.cell.eps, y.u_gain != nullptr);
    }
  }

  /// The value V h^ of the state above that layer l saw at step t, wherever it was computed.
  Term<T> top_down_term(int64_t l, int64_t t, int64_t b) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    const int32_t k = slot(l + 1, t - 1, b);
    const int32_t row = s.extra_v.row[k < 0 ? b : k + B_];
    return row >= 0 ? term(tape_[l].raw_v, tape_[l].stats_v, row, 4 * y.d, y.v_gain, y.v_bias)
                    : term(s.extra_v.raw, s.extra_v.stats, -2 - row, 4 * y.d, y.v_gain, y.v_bias);
  }

  void step(int64_t t, int64_t l) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    auto& tape = tape_[l];
    const int64_t d = y.d;
    const auto* position = tape.position.template data_ptr<int32_t>();
    const auto* slot_w = tape.slot_w.template data_ptr<int32_t>();
    const auto* slot_v = tape.slot_v.template data_ptr<int32_t>();
    int64_t base = s.end, base_w = s.end_w, base_v = s.end_v;
    while (base > 0 && position[base - 1] >= t * B_) {
      --base;
      if (l > 0 && slot_w[base] >= 0) --base_w;
      if (slot_v[base] >= 0) --base_v;
    }
    const int64_t m = s.end - base, mw = s.end_w - base_w, mv = s.end_v - base_v;

    for_rows(B_, (8 * m + B_) * d, [&](int64_t b, int64_t thread) { row(t, l, b, base, thread); });
    if (l == 0 && a_.index) table_sums(base, m);

    T* dh = s.dh.template data_ptr<T>();
    T* out = m == B_ ? dh : out_.template data_ptr<T>();
    u_[l].backward(m, row_of<T>(s.du, base, 4 * d), out);
    if (m < B_) {
      for (int64_t i = 0; i < m; ++i) copy_row(dh + (position[base + i] % B_) * d, out + i * d, d);
    }
    if (l > 0 && mw > 0) {
      w_[l].backward(mw, row_of<T>(s.dw, base_w, 4 * d), out_.template data_ptr<T>());
      scatter(
          base, m, position, [&](int64_t i) { return slot_w[i] >= 0; }, layer_[l - 1].dh, y.below);
    }
    if (mv > 0) {
      v_[l].backward(mv, row_of<T>(s.dv, base_v, 4 * d), out_.template data_ptr<T>());
      scatter(
          base, m, position, [&](int64_t i) { return slot_v[i] >= 0; }, layer_[l + 1].dh, y.above);
    }
    if (detect_ && !y.top()) boundary_row(t, l);
    s.end = base;
    s.end_w = base_w;
    s.end_v = base_v;
  }

  /// out_'s rows, one for each slot that `wanted` says, added to the rows of `to`.
  template <class Wanted>
  void scatter(int64_t base, int64_t m, const int32_t* position, Wanted wanted, at::Tensor& to, int64_t width) {
    const T* from = out_.template data_ptr<T>();
    for (int64_t i = base; i < base + m; ++i) {
      if (!wanted(i)) continue;
      k_.axpy(width, T(1), from, row_of<T>(to, position[i] % B_, width));
      from += width;
    }
  }

  /// What reaches the states through the boundary's pre-activation: vectors, no product.
  void boundary_row(int64_t t, int64_t l) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    const T* d_pre = s.d_pre.template data_ptr<T>() + t * B_;
    for_rows(B_, B_ * y.d, [&](int64_t b, int64_t) {
      if (d_pre[b] == T(0)) return;
      k_.axpy(y.d, d_pre[b], y.u_z(), row_of<T>(s.dh, b, y.d));
      if (l > 0 && z_below(t, b, l)) k_.axpy(y.below, d_pre[b], y.w_z(), row_of<T>(layer_[l - 1].dh, b, y.below));
      if (z_before(t, b, l)) k_.axpy(y.above, d_pre[b], y.v_z(), row_of<T>(layer_[l + 1].dh, b, y.above));
    });
  }

  bool z_below(int64_t t, int64_t b, int64_t l) {
    return l == 0 || result_.z.template const_data_ptr<T>()[(t * B_ + b) * (L_ - 1) + l - 1] != T(0);
  }
  bool z_before(int64_t t, int64_t b, int64_t l) {
    return (t > 0 ? result_.z.template const_data_ptr<T>()[((t - 1) * B_ + b) * (L_ - 1) + l]
                  : a_.z0.template const_data_ptr<T>()[b * (L_ - 1) + l]) != T(0);
  }

  void row(int64_t t, int64_t l, int64_t b, int64_t base, int64_t thread) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    auto& tape = tape_[l];
    const int64_t d = y.d;
    T* dh = row_of<T>(s.dh, b, d);
    T* dc = row_of<T>(s.dc, b, d);
    if (grad_h_[l].defined()) k_.axpy(d, T(1), row_of<T>(grad_h_[l], t * B_ + b, d), dh);
    const bool has_z = detect_ && !y.top();
    if (has_z && grad_z_.defined()) s.dz[b] += grad_z_.template const_data_ptr<T>()[(t * B_ + b) * (L_ - 1) + l];
    if (!live(t, b)) return;  // h, c and z are those of the step before: so are their gradients

    auto& sums = s.sums[thread];
    T d_pre = T(0);
    if (has_z) {
      d_pre = useful(t, b, l) ? s.dz[b] * slope_ * T(0.5) : T(0);
      s.d_pre.template data_ptr<T>()[t * B_ + b] = d_pre;
      sums.bias_z += d_pre;
    }
    const int32_t now = slot(l, t, b), before = slot(l, t - 1, b);
    T dz_below = T(0), dz_before = T(0);
    if (detect_ && l > 0 && has_z) dz_below = d_pre * s.w_z.template data_ptr<T>()[t * B_ + b];
    if (has_z) dz_before = d_pre * s.v_z.template data_ptr<T>()[t * B_ + b];

    if (now == before) {
      if (detect_) copy_row_gradient(t, l, b, before, thread, dh, dc, dz_below, dz_before);
    } else {
      const int32_t w = tape.slot_w.template data_ptr<int32_t>()[now],
                    v = tape.slot_v.template data_ptr<int32_t>()[now];
      const bool flush = v >= 0;
      T* ds = row_of<T>(ds_, now - base, 4 * d);
      T* scratch = row_of<T>(scratch_, thread, scratch_.size(1));
      const auto& moments = *row_of<Moments<T>>(tape.stats_c, now, 1);
      const auto dots = k_.active_backward(d, flush, dh, dc, row_of<T>(tape.gates, now, 4 * d), c_of(l, before, b),
                                           row_of<T>(tape.c, now, d), h_at(t - 1, l, b), h_at(t, l, b), moments, y.cell,
                                           scratch, ds, dc, sums.cell_gain.data(), sums.cell_bias.data());
      k_.term_backward(4 * d, ds, term(tape.raw_u, tape.stats_u, now, 4 * d, y.u_gain, y.u_bias),
                       row_of<T>(s.du, now, 4 * d), sums.u_gain.data(), sums.bias.data());
      const bool want_below = detect_ && l > 0 && useful_below(t, b, l);
      if (l > 0 && w >= 0) {
        dz_below += k_.term_backward(4 * d, ds, term(tape.raw_w, tape.stats_w, w, 4 * d, y.w_gain, y.w_bias),
                                     row_of<T>(s.dw, w, 4 * d), sums.w_gain.data(), sums.w_bias_or_null());
      } else if (l == 0 && !a_.index) {
        k_.term_backward(4 * d, ds, term(tape.raw_w, tape.stats_w, w, 4 * d, y.w_gain, y.w_bias),
                         row_of<T>(s.dw, w, 4 * d), sums.w_gain.data(), sums.w_bias_or_null());
      } else if (want_below) {
        dz_below +=
            k_.term_dot(4 * d, ds, term(s.extra_w.raw, s.extra_w.stats, s.extra_w.row[now], 4 * d, y.w_gain, y.w_bias));
      }
      if (flush) {
        dz_before += k_.term_backward(4 * d, ds, term(tape.raw_v, tape.stats_v, v, 4 * d, y.v_gain, y.v_bias),
                                      row_of<T>(s.dv, v, 4 * d), sums.v_gain.data(), sums.v_bias_or_null());
      } else if (has_z && useful(t - 1, b, l)) {
        dz_before += k_.term_dot(4 * d, ds, top_down_term(l, t, b));
      }
      const bool w_on = l == 0 || w >= 0;
      if (!flush) dz_below += dots.forget + dots.input - dots.cell + dots.jump;
      dz_before += w_on ? -dots.forget : dots.input - dots.cell + dots.jump;
      s.ending[b] = now;
      s.run_ready[b] = 0;
    }
    if (detect_ && l > 0) layer_[l - 1].dz[b] += dz_below;
    if (has_z) s.dz[b] = dz_before;
  }

  bool useful_below(int64_t t, int64_t b, int64_t l) { return useful(t, b, l - 1); }

  void copy_row_gradient(int64_t t, int64_t l, int64_t b, int32_t k, int64_t thread, const T* dh, const T* dc,
                         T& dz_below, T& dz_before) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    auto& tape = tape_[l];
    T* delta = row_of<T>(s.delta, b, y.d);
    if (!s.run_ready[b]) {
      const auto u = s.ending[b] >= 0
                         ? term(tape.raw_u, tape.stats_u, s.ending[b], 4 * y.d, y.u_gain, y.u_bias)
                         : term(s.extra_u.raw, s.extra_u.stats, s.extra_u.row[b], 4 * y.d, y.u_gain, y.u_bias);
      T* scratch = row_of<T>(scratch_, thread, scratch_.size(1));
      s.run_dots[b] = k_.copy_run(y.d, u, y.bias, c_of(l, k, b), h_at(t, l, b), y.cell, dc, scratch, delta);
      s.run_ready[b] = 1;
    }
    const T jump = k_.dot(y.d, dh, delta);
    dz_below += s.run_dots[b].forget + s.run_dots[b].input + jump;
    dz_before += s.run_dots[b].input + jump;
  }

  /// ds of the step's active rows, summed per row of the first layer's table. Threads share the columns, not the rows.
  void table_sums(int64_t base, int64_t m) {
    const int64_t width = 4 * layers_[0].d;
    const auto* position = tape_[0].position.template data_ptr<int32_t>();
    const auto* index = a_.index->const_data_ptr<int64_t>();
    constexpr int64_t chunk = 512;
    const int64_t chunks = (width + chunk - 1) / chunk;
    for_rows(chunks, m * width, [&](int64_t c, int64_t) {
      const int64_t from = c * chunk, n = std::min(chunk, width - from);
      for (int64_t i = 0; i < m; ++i) {
        k_.axpy(n, T(1), row_of<T>(ds_, i, width) + from,
                row_of<T>(table_ds_, index[position[base + i]], width) + from);
      }
    });
  }

  // ------------------------------------------------------------------------------------------------ after the time
  // loop

  HMLSTMGradients finish() {
    HMLSTMGradients g;
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      auto& s = layer_[l];
      for (size_t i = 1; i < s.sums.size(); ++i) s.sums[0].add(s.sums[i]);
      auto& sums = s.sums[0];
      g.recurrent.push_back(at::zeros_like(a_.recurrent[l], options_));
      g.bottom_up.push_back(at::zeros_like(a_.bottom_up[l], options_));
      if (!y.top()) g.top_down.push_back(at::zeros_like(a_.top_down[l], options_));
      recurrent_gradient(l, g.recurrent[l].template data_ptr<T>());
      if (l == 0) {
        g.input = input_gradient(g.bottom_up[0].template data_ptr<T>());
      } else {
        bottom_up_gradient(l, g.bottom_up[l].template data_ptr<T>());
      }
      if (!y.top()) top_down_gradient(l, g.top_down[l].template data_ptr<T>());
      g.bias.push_back(sums.bias_tensor(y.top() ? 4 * y.d : 4 * y.d + 1, options_));
      if (a_.layer_norm()) sums.append_norms(y.top(), options_, g.norm_weight, g.norm_bias);
      g.h0.push_back(s.dh);
      g.c0.push_back(s.dc);
    }
    if (detect_) {
      g.z0 = at::empty({B_, L_ - 1}, options_);
      for (int64_t l = 0; l + 1 < L_; ++l) {
        for (int64_t b = 0; b < B_; ++b) g.z0.template data_ptr<T>()[b * (L_ - 1) + l] = layer_[l].dz[b];
      }
    }
    return g;
  }

  /// Rows x(slot) of the slots that `wanted` says, in slot order.
  template <class X>
  at::Tensor gather(int64_t l, int64_t n, int64_t width, const int32_t* chosen, X x) {
    auto out = at::empty({n, width}, options_);
    const auto* position = tape_[l].position.template data_ptr<int32_t>();
    std::vector<int32_t> slots;
    slots.reserve(n);
    for (int32_t i = 0; i < layer_[l].n; ++i) {
      if (chosen == nullptr || chosen[i] >= 0) slots.push_back(i);
    }
    for_rows(n, n * width, [&](int64_t i, int64_t) {
      const int64_t at = position[slots[i]];
      copy_row(row_of<T>(out, i, width), x(at / B_, at % B_), width);
    });
    return out;
  }

  void recurrent_gradient(int64_t l, T* grad) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    const T* du = s.du.template data_ptr<T>();
    if (s.n == T_ * B_) {  // every row at every step: the states stand in order already
      u_[l].weight_gradient(B_, du, h_at(-1, l, 0), grad);
      u_[l].weight_gradient((T_ - 1) * B_, du + B_ * 4 * y.d, h_at(0, l, 0), grad);
    } else {
      const auto h = gather(l, s.n, y.d, nullptr, [&](int64_t t, int64_t b) { return h_at(t - 1, l, b); });
      u_[l].weight_gradient(s.n, du, h.template data_ptr<T>(), grad);
    }
    if (!detect_ || y.top()) return;
    const T* d_pre = s.d_pre.template data_ptr<T>();  // row z: Σ ds_z h_{t-1}
    T* row_z = grad + 4 * y.d * y.d;
    gemm<T>(false, false, 1, y.d, B_, d_pre, B_, h_at(-1, l, 0), y.d, T(1), row_z, y.d);
    gemm<T>(false, false, 1, y.d, (T_ - 1) * B_, d_pre + B_, (T_ - 1) * B_, h_at(0, l, 0), y.d, T(1), row_z, y.d);
  }

  void bottom_up_gradient(int64_t l, T* grad) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    const auto n = count(l, 1);
    const auto* slot_w = tape_[l].slot_w.template data_ptr<int32_t>();
    const T* dw = s.dw.template data_ptr<T>();
    if (n == T_ * B_) {
      w_[l].weight_gradient(n, dw, h_at(0, l - 1, 0), grad);
    } else {
      const auto x = gather(l, n, y.below, slot_w, [&](int64_t t, int64_t b) { return h_at(t, l - 1, b); });
      w_[l].weight_gradient(n, dw, x.template data_ptr<T>(), grad);
    }
    if (!detect_ || y.top()) return;
    const auto gated = (s.d_pre * result_.z.select(2, l - 1)).contiguous();
    gemm<T>(false, false, 1, y.below, T_ * B_, gated.template data_ptr<T>(), T_ * B_, h_at(0, l - 1, 0), y.below, T(1),
            grad + 4 * y.d * y.below, y.below);
  }

  void top_down_gradient(int64_t l, T* grad) {
    const auto& y = layers_[l];
    auto& s = layer_[l];
    const auto n = count(l, 2);
    const auto* slot_v = tape_[l].slot_v.template data_ptr<int32_t>();
    const auto h = gather(l, n, y.above, slot_v, [&](int64_t t, int64_t b) { return h_at(t - 1, l + 1, b); });
    v_[l].weight_gradient(n, s.dv.template data_ptr<T>(), h.template data_ptr<T>(), grad);
    if (!detect_) return;
    const auto before = at::cat({a_.z0.unsqueeze(0), result_.z.narrow(0, 0, T_ - 1)}).select(2, l);
    const auto gated = (s.d_pre * before).contiguous();
    const T* d_pre = gated.template data_ptr<T>();
    T* row_z = grad + 4 * y.d * y.above;
    gemm<T>(false, false, 1, y.above, B_, d_pre, B_, h_at(-1, l + 1, 0), y.above, T(1), row_z, y.above);
    gemm<T>(false, false, 1, y.above, (T_ - 1) * B_, d_pre + B_, (T_ - 1) * B_, h_at(0, l + 1, 0), y.above, T(1), row_z,
            y.above);
  }

  /// Gradient of the first layer's input (table or sequence); adds that of its matrix to `grad`.
  at::Tensor input_gradient(T* grad) {
    const auto& y = layers_[0];
    auto& s = layer_[0];
    auto& sums = s.sums[0];
    const auto rows = a_.input.numel() / y.below;
    const T* x = a_.input.template const_data_ptr<T>();
    T* d_raw = a_.index ? table_ds_.template data_ptr<T>() : s.dw.template data_ptr<T>();
    if (a_.index && y.w_gain != nullptr) {
      // One layer-norm backward per row of the table, over the sum of its steps' ds (LN is the same at each of them).
      auto out = at::empty_like(table_ds_);
      for (int64_t r = 0; r < rows; ++r) {
        k_.term_backward(4 * y.d, row_of<T>(table_ds_, r, 4 * y.d),
                         term(tape_[0].raw_w, tape_[0].stats_w, r, 4 * y.d, y.w_gain, y.w_bias),
                         row_of<T>(out, r, 4 * y.d), sums.w_gain.data(), sums.w_bias_or_null());
      }
      table_ds_ = out;
      d_raw = out.template data_ptr<T>();
    }
    auto out = at::empty({rows, y.below}, options_);
    w_[0].backward(rows, d_raw, out.template data_ptr<T>());
    w_[0].weight_gradient(rows, d_raw, x, grad);
    if (detect_ && !y.top()) {
      auto d_pre = s.d_pre.reshape({T_ * B_});
      if (a_.index) d_pre = at::zeros({rows}, options_).index_add_(0, a_.index->reshape({-1}), d_pre);
      const T* p = d_pre.template const_data_ptr<T>();
      for (int64_t r = 0; r < rows; ++r) {
        k_.axpy(y.below, p[r], y.w_z(), row_of<T>(out, r, y.below));
      }
      gemm<T>(false, false, 1, y.below, rows, p, rows, x, y.below, T(1), grad + 4 * y.d * y.below, y.below);
    }
    return out.view(a_.input.sizes());
  }

  const HMLSTMArguments& a_;
  const WindowResult& result_;
  const CellKernels<T>& k_;
  const int64_t T_, B_, L_, threads_;
  const T slope_;
  const bool detect_, bf16_;
  std::vector<LayerView<T>> layers_;
  at::TensorOptions options_;
  std::vector<LayerTape<T>> tape_;
  std::vector<LayerState> layer_;
  std::vector<Product<T>> u_, w_, v_;
  std::vector<at::Tensor> grad_h_;
  at::Tensor grad_z_;
  at::Tensor table_ds_;  ///< [V, 4d] Σ ds over the steps that read each row of the table
  at::Tensor scratch_, ds_, out_;
  std::vector<int64_t> lengths_;
};

}  // namespace

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const WindowResult& result,
                                 const std::vector<at::Tensor>& saved, const std::vector<at::Tensor>& grad_h,
                                 const std::vector<at::Tensor>& grad_c_n, const at::Tensor& grad_z) {
  return a.h0[0].scalar_type() == at::kDouble ? Backward<double>(a, result, saved, grad_h, grad_c_n, grad_z).run()
                                              : Backward<float>(a, result, saved, grad_h, grad_c_n, grad_z).run();
}

}  // namespace hmrnn::cpu
