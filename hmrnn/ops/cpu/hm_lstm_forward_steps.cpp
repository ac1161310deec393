// The steps of the forward pass (hm_lstm_forward.h).

#include <algorithm>
#include <array>

#include "hmrnn/ops/cpu/hm_lstm_forward.h"

namespace hmrnn::cpu {

template <class T, class P>
void Forward<T, P>::run() {
  first_states();
  const int64_t n = mine_.size();
  for_rows(n, n * layers_[0].d, [&](int64_t i, int64_t) { copy_until_active(mine_.begin + i); });
  std::vector<int64_t> waiting(L_ + 1);
  for (;;) {
    std::fill(waiting.begin(), waiting.end(), 0);
    for (int64_t b = mine_.begin; b < mine_.end; ++b) ++waiting[rows_[b].l];
    if (waiting[L_] == n) break;  // all are at the window's end
    step_batch(std::max_element(waiting.begin(), waiting.begin() + L_) - waiting.begin());
  }
  for (int64_t l = 0; training_ && l < L_; ++l) last_c(l);
}

template <class T, class P>
StateDots<T> Forward<T, P>::state_dots(int64_t l, const T* h) {
  const int64_t d = layers_[l].d;
  StateDots<T> out{};
  if (!layers_[l].top()) out.recurrent = k_.dot(d, layers_[l].u_z(), h);
  if (l + 2 < L_) out.bottom_up = k_.dot(d, layers_[l + 1].w_z(), h);
  if (l > 0) out.top_down = k_.dot(d, layers_[l - 1].v_z(), h);
  return out;
}

/// Makes the COPY steps of row b up to its next active step or the window's end.
template <class T, class P>
void Forward<T, P>::copy_until_active(int64_t b) {
  auto& r = rows_[b];
  for (; r.t < T_; ++r.t, r.l = 0) {
    for (; r.l < L_; ++r.l) {
      r.live = lengths_.empty() || r.t < lengths_[b];
      r.operation = rules::operation<T>(r.l == 0 ? nullptr : z_at(r.t, b, r.l - 1),
                                        layers_[r.l].top() ? nullptr : last_z(r.t, b, r.l));
      if (r.live && r.operation.active()) return;
      copy(r.t, r.l, b);
    }
  }
  r.l = L_;
}

/// One active step of layer l for every row that waits for it.
template <class T, class P>
void Forward<T, P>::step_batch(int64_t l) {
  const auto& y = layers_[l];
  auto& tape = tape_[l];
  const int64_t d = y.d, base = training_ ? count(l, 0) : 0;
  const int64_t base_w = training_ ? count(l, 1) : 0, base_v = training_ ? count(l, 2) : 0;
  const bool table = l == 0 && index_ != nullptr;
  batch_rows_.clear();
  x_u_.clear(), x_w_.clear(), x_v_.clear();
  for (int64_t b = mine_.begin; b < mine_.end; ++b) {
    auto& r = rows_[b];
    if (r.l != l) continue;
    r.i = static_cast<int32_t>(batch_rows_.size());
    batch_rows_.push_back(b);
    x_u_.push_back(operand(r.t - 1, l, b));
    r.w = -1;
    if (r.operation.bottom_up && table) {
      r.w = static_cast<int32_t>(index_[r.t * B_ + b]);
    } else if (r.operation.bottom_up) {
      r.w = static_cast<int32_t>(base_w + static_cast<int64_t>(x_w_.size()));
      x_w_.push_back(l > 0 ? shown(r.t, l - 1, b) : row_of<P>(input_.operands, r.t * B_ + b, y.below));
    }
    r.v = -1;
    if (r.operation.flush) {  // layer l+1 has not stepped yet: its state is that of t-1
      r.v = static_cast<int32_t>(base_v + static_cast<int64_t>(x_v_.size()));
      x_v_.push_back(shown(r.t - 1, l + 1, b));
    }
  }
  const auto m = static_cast<int64_t>(batch_rows_.size());
  const auto mw = static_cast<int64_t>(x_w_.size()), mv = static_cast<int64_t>(x_v_.size());
  const int64_t stride = row_stride<P>(4 * d);
  const std::array<typename Product<P>::Forward, 3> products{
      {{&products_.recurrent[l], m, x_u_.data(), raw_row<P>(tape.raw_u, base, 4 * d), stride},
       {&products_.bottom_up[l], mw, x_w_.data(), mw > 0 ? raw_row<P>(tape.raw_w, base_w, 4 * d) : nullptr, stride},
       {&products_.top_down[l], mv, x_v_.data(), raw_row<P>(tape.raw_v, base_v, 4 * d), stride}}};
  Product<P>::forward(products);
  for_row_ranges(m, 5 * m * d, [&](int64_t begin, int64_t end, int64_t thread) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t b = batch_rows_[i];
      RowPrefetch prefetch;
      if (i + 1 < end) prefetch_rows(batch_rows_[i + 1], base, prefetch);
      update(rows_[b], b, base, thread, &prefetch);
      ++rows_[b].l;
      copy_until_active(b);
    }
  });
  if (!training_) return;
  schedule_.insert(schedule_.end(), {static_cast<int32_t>(l), static_cast<int32_t>(m)});
  count(l, 0) = base + m;
  count(l, 1) = base_w + mw;
  count(l, 2) = base_v + mv;
}

/// The boundary's pre-activation s_z, 0 where there is none.
template <class T, class P>
T Forward<T, P>::pre_activation(const Row& r, int64_t l, int64_t b) {
  const auto& y = layers_[l];
  if (y.top() || !a_.detect() || !r.live) return T(0);
  const int64_t at = r.t * B_ + b;
  T pre = dots_now(l, b).recurrent + y.bias_z();
  if (r.operation.flush) pre += dots_now(l + 1, b).top_down;
  if (r.operation.bottom_up)
    pre += l > 0 ? dots_now(l - 1, b).bottom_up : input_.z[index_ != nullptr ? index_[at] : at];
  at_[l].pre[at] = pre;
  return pre;
}

/// COPY, or a step past the sequence's end.
template <class T, class P>
void Forward<T, P>::copy(int64_t t, int64_t l, int64_t b) {
  const auto& y = layers_[l];
  const T pre = pre_activation(rows_[b], l, b);
  copy_row(h_now(t, l, b), h_at(t - 1, l) + b * y.d, y.d);
  *slot_at(t, l, b) = t > 0 ? *slot_at(t - 1, l, b) : -1;
  *index_at(t, l, b) = t > 0 ? *index_at(t - 1, l, b) : 0;
  if (!y.top()) *z_at(t, b, l) = rows_[b].live ? decide(t, l, b, pre) : *last_z(t, b, l);
}

/// Prefetches what update will read and write, in that order.
template <class T, class P>
void Forward<T, P>::prefetch_rows(int64_t b, int64_t base, RowPrefetch& prefetch) {
  const auto& r = rows_[b];
  const int64_t s = base + r.i, d = layers_[r.l].d;
  const auto& tape = tape_[r.l];
  prefetch.add(raw_row<P>(tape.raw_u, s, 4 * d), 4 * d);
  if (r.w >= 0) prefetch.add(raw_row<P>(tape.raw_w, r.w, 4 * d), 4 * d);
  if (r.v >= 0) prefetch.add(raw_row<P>(tape.raw_v, r.v, 4 * d), 4 * d);
  prefetch.add(row_of<T>(tape.c, training_ ? s : b, d), d);
  prefetch.add(h_now(r.t, r.l, b), d);
  if (training_ && kNarrow) prefetch.add(at_[r.l].states + (B_ + s) * d, d);
  if (training_ && mask_.on()) prefetch.add(at_[r.l].shown + (B_ + s) * d, d);
}

/// UPDATE or FLUSH, after the products.
template <class T, class P>
void Forward<T, P>::update(const Row& r, int64_t b, int64_t base, int64_t thread, RowPrefetch* prefetch) {
  const int64_t t = r.t, l = r.l, s = base + r.i;
  const auto& y = layers_[l];
  auto& tape = tape_[l];
  const int64_t d = y.d;
  const T pre = pre_activation(r, l, b);
  // The norms' biases are in gate_bias.
  const auto norm = [&](const at::Tensor& raw, at::Tensor& stats, int64_t i, const T* gain, bool known) {
    Term<T, P> term{raw_row<P>(raw, i, 4 * d), {T(0), T(1)}, gain, nullptr};
    auto* saved = row_of<Moments<T>>(stats, i, 1);
    if (gain != nullptr && !known) *saved = k_.moments(4 * d, term.raw, y.cell.eps, prefetch);
    if (gain != nullptr) term.moments = *saved;
    return term;
  };
  const bool table = l == 0 && index_ != nullptr;
  const auto u = norm(tape.raw_u, tape.stats_u, s, y.u_gain, false);
  const auto w = r.w < 0 ? Term<T, P>{} : norm(tape.raw_w, tape.stats_w, r.w, y.w_gain, table);
  const auto v = r.v < 0 ? Term<T, P>{} : norm(tape.raw_v, tape.stats_v, r.v, y.v_gain, false);
  const int32_t before = t > 0 ? *slot_at(t - 1, l, b) : -1;
  const T* c_before = !training_    ? row_of<T>(tape.c, b, d)
                      : before >= 0 ? row_of<T>(tape.c, before, d)
                                    : a_.window.c0[l].template const_data_ptr<T>() + b * d;
  T* c_now = row_of<T>(tape.c, training_ ? s : b, d);
  T* h = h_now(t, l, b);
  const int32_t number = t > 0 ? *index_at(t - 1, l, b) : 0;  // of the state that ends here
  T* gates = row_of<T>(gates_, thread, gates_.size(1));
  const T* bias = y.gate_bias(r.w >= 0, r.operation.flush);
  if (r.operation.flush) c_before = nullptr;
  auto& moments = *row_of<Moments<T>>(tape.stats_c, s, 1);
  if (const auto dropout = dropout_.of(l, b, number); dropout.on()) {
    k_.active_gates(d, u, w, v, bias, gates, prefetch);
    moments = k_.active_cell(d, gates, c_before, y.cell, dropout, c_now, h);
  } else {
    moments = k_.active_forward(d, u, w, v, bias, c_before, y.cell, gates, c_now, h, prefetch);
  }
  if (training_) now_[l][b] = static_cast<int32_t>(B_ + s);
  if constexpr (kNarrow) k_.narrow(d, h, at_[l].states + now_[l][b] * d);
  if (mask_.on()) k_.mask(d, mask_.row(l, b), h, at_[l].shown + now_[l][b] * d);
  if (a_.detect()) dots_now(l, b) = state_dots(l, h);
  tape.slot_w.template data_ptr<int32_t>()[s] = r.w;
  tape.slot_v.template data_ptr<int32_t>()[s] = r.v;
  tape.position.template data_ptr<int32_t>()[s] = static_cast<int32_t>(t * B_ + b);
  *slot_at(t, l, b) = static_cast<int32_t>(s);
  *index_at(t, l, b) = number + 1;
  if (y.top()) return;
  *z_at(t, b, l) = decide(t, l, b, pre);
}

template <class T, class P>
T Forward<T, P>::decide(int64_t t, int64_t l, int64_t b, T pre) {
  const int64_t at = (t * B_ + b) * (L_ - 1) + l;
  if (a_.rule.given.defined()) return a_.rule.given.template const_data_ptr<T>()[at];
  return rules::decide(pre, slope_,
                       a_.rule.noise.defined() ? a_.rule.noise.template const_data_ptr<T>() + at : nullptr);
}

#define HMRNN_INSTANTIATE(T, P)       \
  template void Forward<T, P>::run(); \
  template StateDots<T> Forward<T, P>::state_dots(int64_t, const T*);
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cpu
