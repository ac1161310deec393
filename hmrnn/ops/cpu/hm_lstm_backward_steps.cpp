// The steps of the backward pass (hm_lstm_backward.h). dh and dc pass through a COPY. The transposed products are
// computed once per active step of a row, at the step that ends a state, since the COPY steps before it need the
// complete dh. Weight gradients are products over many active steps at a time. The batches of active steps are those of
// the forward pass, in reverse order; between two of them each row passes its own COPY steps. Which gradients z has is
// the table in ops/rules.h.

#include <algorithm>
#include <array>

#include "hmrnn/ops/cpu/hm_lstm_backward.h"

namespace hmrnn::cpu {

template <class T, class P>
Backward<T, P>::Backward(const HMLSTMArguments& a, const HMLSTMBackward& given, int64_t index, int64_t shares,
                         WindowProducts<P>& products, BackwardWindow<T, P>& window)
    : a_(a),
      given_(given),
      result_(given.result),
      input_gradient_(given.input_gradient),
      k_(cell_kernels<T, P>()),
      T_(a.steps()),
      B_(a.batch()),
      L_(a.num_layers()),
      threads_(shares > 1 ? 1 : usable_threads()),
      mine_(rows_of_share(B_, index, shares)),
      collects_(shares > 1),
      slope_(static_cast<T>(a.rule.slope.item<double>())),
      detect_(a.detect() && a.num_layers() > 1),
      layers_(window.layers),
      options_(window.options),
      products_(window.products),
      weights_(products),
      window_(window),
      g_(window.g),
      state_index_(given.saved.back()),
      dropout_(a),
      mask_(a),
      lengths_(lengths(a)) {
  for (int64_t l = 0; l < L_; ++l) tape_.push_back(LayerTape<T, P>::from(given.saved, index * L_ + l));
  const int64_t rows = mine_.size();
  int64_t widest = 1;
  for (int64_t l = 0; l < L_; ++l) {
    const auto& y = layers_[l];
    const int64_t d = y.d;
    widest = std::max({widest, d, y.below});
    const auto& tape = tape_[l];
    at_.push_back({a.window.h0[l].const_data_ptr<T>(), result_.h[l].template const_data_ptr<T>(),
                   tape.states.template const_data_ptr<P>(), tape.shown.template const_data_ptr<P>(),
                   static_cast<const StateDots<T>*>(tape.dots.const_data_ptr()), tape.pre.template const_data_ptr<T>(),
                   tape.slot.template const_data_ptr<int32_t>()});
    auto& s = layer_.emplace_back();
    s.n = count(l, 0);
    s.end = s.n;
    s.end_w = count(l, 1);
    s.end_v = count(l, 2);
    s.dh = g_.window.h0[l];
    s.dc = g_.window.c0[l];
    s.dz.assign(B_, T(0));
    s.sums.assign(threads_, GradientSums<T>(d, y.below, y.above, a.layer_norm()));
    s.ending.assign(B_, -1);
    s.run_ready.assign(B_, 0);
    s.run_dots.resize(B_);
    if (detect_) s.delta = at::empty({B_, d}, options_);
    s.d_pre = window.d_pre[l];
    const auto weight = [&](Product<P>& matrix, const at::Tensor& gradient, int64_t total) {
      if (collects_) {
        s.weight.emplace_back(matrix, total);
      } else {
        s.weight.emplace_back(matrix, gradient, total, rows, gradient_memory_);
      }
    };
    weight(products.recurrent[l], g_.layers[l].recurrent, s.end);
    weight(products.bottom_up[l], g_.layers[l].bottom_up, s.end_w);  // of a table: 0
    if (!y.top()) weight(products.top_down[l], g_.layers[l].top_down, s.end_v);
  }
  if (a.indexed()) table_ds_ = at::zeros({a.window.input.size(0), 4 * layers_[0].d}, options_);
  scratch_ = at::empty({threads_, 8 * widest}, options_);
  ds_ = at::empty({rows, 4 * widest}, options_);
  for (auto* x : {&masked_w_, &masked_v_}) *x = at::empty({mask_.on() ? rows : 0, widest}, options_);
  for (auto* to : {&to_u_, &to_w_, &to_v_}) to->reserve(rows);
}

template <class T, class P>
void Backward<T, P>::run() {
  if (detect_) boundary_terms();
  place_.assign(B_, {T_ - 1, L_ - 1});
  const int64_t n = mine_.size();
  for_rows(n, n * layers_[0].d, [&](int64_t i, int64_t thread) { copy_until_active(mine_.begin + i, thread); });
  const auto* schedule = tape_[0].schedule.template const_data_ptr<int32_t>();
  for (int64_t i = tape_[0].schedule.size(0) - 1; i >= 0; --i) step_batch(schedule[2 * i], schedule[2 * i + 1]);
  z0_gradient();
  for (auto& s : layer_) {
    for (auto& weight : s.weight) {
      if (!collects_) weight.finish();
    }
    for (size_t i = 1; i < s.sums.size(); ++i) s.sums[0].add(s.sums[i]);
  }
}

/// The term V h^ of layer l at step t, from the tape or from the extra products.
template <class T, class P>
Term<T, P> Backward<T, P>::top_down_term(int64_t l, int64_t t, int64_t b) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  const int32_t k = slot(l + 1, t - 1, b);
  const int32_t row = s.extra_v.row[k < 0 ? b : k + B_];
  return row >= 0 ? term(tape_[l].raw_v, tape_[l].stats_v, row, 4 * y.d, y.v_gain, y.v_bias)
                  : term(s.extra_v.raw, s.extra_v.stats, -2 - row, 4 * y.d, y.v_gain, y.v_bias);
}

/// One batch of active steps of layer l.
template <class T, class P>
void Backward<T, P>::step_batch(int64_t l, int64_t m) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  auto& tape = tape_[l];
  const int64_t d = y.d, base = s.end - m;
  const auto* position = tape.position.template data_ptr<int32_t>();
  const auto* slot_w = tape.slot_w.template data_ptr<int32_t>();
  const auto* slot_v = tape.slot_v.template data_ptr<int32_t>();
  const bool table = l == 0 && a_.indexed();

  to_u_.clear(), to_w_.clear(), to_v_.clear();
  int64_t mw = 0;
  for (int64_t i = base; i < s.end; ++i) {
    const int64_t b = position[i] % B_;
    to_u_.push_back(row_of<T>(s.dh, b, d));
    if (slot_w[i] >= 0 && !table) {
      ++mw;
      if (l > 0) {
        to_w_.push_back(mask_.on() ? row_of<T>(masked_w_, static_cast<int64_t>(to_w_.size()), y.below)
                                   : row_of<T>(layer_[l - 1].dh, b, y.below));
      } else if (input_gradient_) {
        to_w_.push_back(row_of<T>(g_.window.input, position[i], y.below));
      }
    }
    if (slot_v[i] >= 0) {
      to_v_.push_back(mask_.on() ? row_of<T>(masked_v_, static_cast<int64_t>(to_v_.size()), y.above)
                                 : row_of<T>(layer_[l + 1].dh, b, y.above));
    }
  }
  const auto mv = static_cast<int64_t>(to_v_.size());
  s.first = base, s.first_w = s.end_w - mw, s.first_v = s.end_v - mv;
  s.du = s.weight[kU].next(m);
  s.dw = s.weight[kW].next(mw);
  if (!y.top()) s.dv = s.weight[kV].next(mv);
  for (int64_t i = base; i < s.end; ++i) {
    const int64_t t = position[i] / B_, b = position[i] % B_;
    s.weight[kU].push(operand(t - 1, l, b));
    if (slot_w[i] >= 0 && !table) {
      s.weight[kW].push(l > 0 ? shown(t, l - 1, b) : row_of<P>(window_.input, position[i], y.below));
    }
    if (slot_v[i] >= 0) s.weight[kV].push(shown(t - 1, l + 1, b));
  }

  for_row_ranges(m, 8 * m * d, [&](int64_t begin, int64_t end, int64_t thread) {
    for (int64_t i = begin; i < end; ++i) {
      RowPrefetch prefetch;
      if (i + 1 < end) prefetch_rows(l, base + i + 1, prefetch);
      update(l, base + i, thread, &prefetch);
    }
  });
  const std::array<typename Product<P>::Backward, 3> products{
      {{&weights_.recurrent[l], m, s.du, s.weight[kU].stride(), to_u_.data(), /*add=*/false},
       {&weights_.bottom_up[l], static_cast<int64_t>(to_w_.size()), s.dw, s.weight[kW].stride(), to_w_.data(),
        /*add=*/l > 0 && !mask_.on()},
       {&weights_.top_down[l], mv, s.dv, y.top() ? 0 : s.weight[kV].stride(), to_v_.data(),
        /*add=*/!mask_.on()}}};
  Product<P>::backward(products);
  for_rows(m, 3 * m * d, [&](int64_t i, int64_t thread) {
    const int64_t b = position[base + i] % B_;
    if (mask_.on()) add_masked_gradients(l, base + i, b);
    if (has_detector(l)) boundary_row(position[base + i] / B_, l, b, thread);
    --place_[b].l;
    copy_until_active(b, thread);
  });
  if (table) table_sums(base, m);
  s.end = s.first, s.end_w = s.first_w, s.end_v = s.first_v;
}

/// Adds to dh of the layers below and above the gradients of mask ⊙ h from the products of slot `now`, masked.
template <class T, class P>
void Backward<T, P>::add_masked_gradients(int64_t l, int64_t now, int64_t b) {
  const auto& y = layers_[l];
  const auto& s = layer_[l];
  const int32_t w = tape_[l].slot_w.template data_ptr<int32_t>()[now],
                v = tape_[l].slot_v.template data_ptr<int32_t>()[now];
  if (l > 0 && w >= 0) {
    k_.add_masked(y.below, mask_.row(l - 1, b), row_of<T>(masked_w_, w - s.first_w, y.below),
                  row_of<T>(layer_[l - 1].dh, b, y.below));
  }
  if (v >= 0) {
    k_.add_masked(y.above, mask_.row(l + 1, b), row_of<T>(masked_v_, v - s.first_v, y.above),
                  row_of<T>(layer_[l + 1].dh, b, y.above));
  }
}

/// The steps of row b, backwards, as long as they are COPYs or past the sequence's end.
template <class T, class P>
void Backward<T, P>::copy_until_active(int64_t b, int64_t thread) {
  auto& place = place_[b];
  for (; place.t >= 0; --place.t, place.l = L_ - 1) {
    for (; place.l >= 0; --place.l) {
      const int64_t t = place.t, l = place.l;
      const int32_t before = slot(l, t - 1, b);
      if (slot(l, t, b) != before) return;
      if (!live(t, b)) {  // h, c and z are those of the step before: so are their gradients
        add_output_gradients(t, l, b);
        continue;
      }
      auto z = begin_step(t, l, b, thread);
      if (detect_) copy_boundary_gradients(t, l, b, before, thread, z);
      end_step(l, b, z);
      if (has_detector(l)) boundary_row(t, l, b, thread);
    }
  }
}

template <class T, class P>
void Backward<T, P>::add_output_gradients(int64_t t, int64_t l, int64_t b) {
  auto& s = layer_[l];
  const int64_t d = layers_[l].d;
  if (given_.grad_h[l].defined()) k_.axpy(d, T(1), row_of<T>(given_.grad_h[l], t * B_ + b, d), row_of<T>(s.dh, b, d));
  if (has_detector(l) && given_.grad_z.defined()) {
    s.dz[b] += given_.grad_z.template const_data_ptr<T>()[(t * B_ + b) * (L_ - 1) + l];
  }
}

/// Begins every step: completes dL/dh and dL/dz of the step, and computes dL/ds_z.
template <class T, class P>
rules::BoundaryGradients<T> Backward<T, P>::begin_step(int64_t t, int64_t l, int64_t b, int64_t thread) {
  add_output_gradients(t, l, b);
  rules::BoundaryGradients<T> z;
  if (!has_detector(l)) return z;
  auto& s = layer_[l];
  const T d_pre = useful(t, b, l) ? rules::slope_gradient(s.dz[b], slope_) : T(0);
  s.d_pre.template data_ptr<T>()[t * B_ + b] = d_pre;
  s.sums[thread].bias_z += d_pre;
  if (l > 0) z.below = d_pre * dots_of(t, l - 1, b).bottom_up;
  z.before = d_pre * dots_of(t - 1, l + 1, b).top_down;
  return z;
}

/// Ends every step: passes z's gradients on.
template <class T, class P>
void Backward<T, P>::end_step(int64_t l, int64_t b, const rules::BoundaryGradients<T>& z) {
  if (detect_ && l > 0) layer_[l - 1].dz[b] += z.below;
  if (has_detector(l)) layer_[l].dz[b] = z.before;
}

/// Prefetches what update will read and write of a slot, in that order.
template <class T, class P>
void Backward<T, P>::prefetch_rows(int64_t l, int64_t now, RowPrefetch& prefetch) {
  const auto& tape = tape_[l];
  const auto& s = layer_[l];
  const int64_t d = layers_[l].d, at = tape.position.template data_ptr<int32_t>()[now], t = at / B_, b = at % B_;
  const int32_t w = tape.slot_w.template data_ptr<int32_t>()[now], v = tape.slot_v.template data_ptr<int32_t>()[now];
  const bool table = l == 0 && a_.indexed();
  if (given_.grad_h[l].defined()) prefetch.add(row_of<T>(given_.grad_h[l], at, d), d);
  prefetch.add(raw_row<P>(tape.raw_u, now, 4 * d), 4 * d);
  if (w >= 0) prefetch.add(raw_row<P>(tape.raw_w, w, 4 * d), 4 * d);
  if (v >= 0) prefetch.add(raw_row<P>(tape.raw_v, v, 4 * d), 4 * d);
  prefetch.add(row_of<T>(tape.c, now, d), d);
  prefetch.add(c_of(l, slot(l, t - 1, b), b), d);
  prefetch.add(h_at(t - 1, l, b), d);
  prefetch.add(s.du + (now - s.first) * s.weight[kU].stride(), 4 * d);
  if (w >= 0 && !table) {
    prefetch.add(s.dw + (w - s.first_w) * s.weight[kW].stride(), 4 * d);
  } else if (wants_bottom_up(t, l, b)) {
    prefetch.add(raw_row<P>(s.extra_w.raw, s.extra_w.row[now], 4 * d), 4 * d);
  }
  if (v >= 0) {
    prefetch.add(s.dv + (v - s.first_v) * s.weight[kV].stride(), 4 * d);
  } else if (wants_top_down(t, l, b)) {
    prefetch.add(top_down_term(l, t, b).raw, 4 * d);
  }
}

/// The UPDATE or FLUSH of slot `now`, before the products.
template <class T, class P>
void Backward<T, P>::update(int64_t l, int64_t now, int64_t thread, RowPrefetch* prefetch) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  auto& tape = tape_[l];
  const int64_t d = y.d, at = tape.position.template data_ptr<int32_t>()[now], t = at / B_, b = at % B_;
  auto z = begin_step(t, l, b, thread);
  auto& sums = s.sums[thread];
  const int32_t w = tape.slot_w.template data_ptr<int32_t>()[now], v = tape.slot_v.template data_ptr<int32_t>()[now];
  const bool flush = v >= 0, table = l == 0 && a_.indexed();
  const int64_t i = now - s.first;
  T* ds = row_of<T>(ds_, i, 4 * d);
  T* dc = row_of<T>(s.dc, b, d);
  // A norm's bias is part of gate_bias; a term contains it only where the term's own value is needed.
  const auto u_term = term(tape.raw_u, tape.stats_u, now, 4 * d, y.u_gain, nullptr);
  auto w_term = w < 0 ? Term<T, P>{} : term(tape.raw_w, tape.stats_w, w, 4 * d, y.w_gain, nullptr);
  auto v_term = v < 0 ? Term<T, P>{} : term(tape.raw_v, tape.stats_v, v, 4 * d, y.v_gain, nullptr);
  T* gates = row_of<T>(scratch_, thread, scratch_.size(1));
  k_.active_gates(d, u_term, w_term, v_term, y.gate_bias(w >= 0, flush), gates, prefetch);
  const auto dots =
      k_.active_backward(d, flush, row_of<T>(s.dh, b, d), dc, gates, c_of(l, slot(l, t - 1, b), b),
                         row_of<T>(tape.c, now, d), h_at(t - 1, l, b), *row_of<Moments<T>>(tape.stats_c, now, 1),
                         y.cell, dropout_.of(l, b, state_number(t - 1, l, b)), gates + 4 * d, ds, dc,
                         sums.cell_gain.data(), sums.cell_bias.data(), prefetch);
  k_.term_backward(4 * d, ds, u_term, s.du + i * s.weight[kU].stride(), sums.u_gain.data(),
                   sums.ds[y.bias_index(w >= 0, flush)].data(), prefetch);
  w_term.bias = y.w_bias;
  v_term.bias = y.v_bias;
  if (w >= 0 && !table) {
    const T along = k_.term_backward(4 * d, ds, w_term, s.dw + (w - s.first_w) * s.weight[kW].stride(),
                                     sums.w_gain.data(), nullptr, prefetch);
    if (l > 0) z.below += along;
  } else if (wants_bottom_up(t, l, b)) {
    z.below +=
        k_.term_dot(4 * d, ds, term(s.extra_w.raw, s.extra_w.stats, s.extra_w.row[now], 4 * d, y.w_gain, y.w_bias));
  }
  if (flush) {
    z.before += k_.term_backward(4 * d, ds, v_term, s.dv + (v - s.first_v) * s.weight[kV].stride(), sums.v_gain.data(),
                                 nullptr, prefetch);
  } else if (wants_top_down(t, l, b)) {
    z.before += k_.term_dot(4 * d, ds, top_down_term(l, t, b));
  }
  const auto through = rules::active_step_gradients<T>({w >= 0, flush}, dots.forget, dots.input, dots.cell, dots.jump);
  z.below += through.below;
  z.before += through.before;
  s.ending[b] = static_cast<int32_t>(now);
  s.run_ready[b] = 0;
  end_step(l, b, z);
}

template <class T, class P>
void Backward<T, P>::copy_boundary_gradients(int64_t t, int64_t l, int64_t b, int32_t k, int64_t thread,
                                             rules::BoundaryGradients<T>& z) {
  const auto& y = layers_[l];
  auto& s = layer_[l];
  auto& tape = tape_[l];
  T* delta = row_of<T>(s.delta, b, y.d);
  if (!s.run_ready[b]) {
    const auto u = s.ending[b] >= 0
                       ? term(tape.raw_u, tape.stats_u, s.ending[b], 4 * y.d, y.u_gain, nullptr)
                       : term(s.extra_u.raw, s.extra_u.stats, s.extra_u.row[b], 4 * y.d, y.u_gain, nullptr);
    s.run_dots[b] = k_.copy_run(y.d, u, y.gate_bias(false, false), c_of(l, k, b), h_at(t, l, b), y.cell,
                                dropout_.of(l, b, state_number(t, l, b)), row_of<T>(s.dc, b, y.d),
                                row_of<T>(scratch_, thread, scratch_.size(1)), delta);
    s.run_ready[b] = 1;
  }
  const T jump = k_.dot(y.d, row_of<T>(s.dh, b, y.d), delta);
  const auto through = rules::copy_step_gradients(s.run_dots[b].forget, s.run_dots[b].input, jump);
  z.below += through.below;
  z.before += through.before;
}

/// ds of the step's active rows, summed per row of the first layer's table. Threads share the columns, not the rows.
template <class T, class P>
void Backward<T, P>::table_sums(int64_t base, int64_t m) {
  const int64_t width = 4 * layers_[0].d;
  const auto* position = tape_[0].position.template data_ptr<int32_t>();
  const auto* index = a_.window.index.const_data_ptr<int64_t>();
  constexpr int64_t chunk = 512;
  const int64_t chunks = (width + chunk - 1) / chunk;
  for_rows(chunks, m * width, [&](int64_t c, int64_t) {
    const int64_t from = c * chunk, n = std::min(chunk, width - from);
    for (int64_t i = 0; i < m; ++i) {
      k_.axpy(n, T(1), row_of<T>(ds_, i, width) + from, row_of<T>(table_ds_, index[position[base + i]], width) + from);
    }
  });
}

#define HMRNN_INSTANTIATE(T, P)                                                                      \
  template Backward<T, P>::Backward(const HMLSTMArguments&, const HMLSTMBackward&, int64_t, int64_t, \
                                    WindowProducts<P>&, BackwardWindow<T, P>&);                      \
  template void Backward<T, P>::run();
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cpu
