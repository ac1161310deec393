#pragma once

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cpu/window.h"
#include "hmrnn/ops/rules.h"

// The window forwards: each product once per change of state (hm_lstm.h; DESIGN, "compute each product once").
//
// Nothing joins two rows of the batch, so each goes through time by itself: it COPYs on, which takes no product, up to
// the next step at which a layer is to UPDATE or FLUSH, and waits there. The layer for which most rows wait takes them
// all, whatever time each has reached: one product a matrix, then the row function of cell_math.h. In step with one
// another the rows would ask for the upper layers a few at a time, and with few rows a product costs what it costs to
// read the weights (3×512, 32 rows, z at 0.21 and 0.035: 410 products instead of 607 in 100 steps). Threads share each
// product by columns, so that each reads its part of the weights only, and then the step's rows.

namespace hmrnn::cpu {

/// T: of states, parameters and everything computed; P: of the products (T, or bfloat16 beside float).
template <class T, class P>
class Forward {
 public:
  Forward(const HMLSTMArguments& a, bool training, WindowProducts<P>& products, WindowResult& result)
      : a_(a),
        result_(result),
        training_(training),
        k_(cell_kernels<T, P>()),
        T_(a.steps()),
        B_(a.batch()),
        L_(a.layers()),
        slope_(static_cast<T>(a.slope.item<double>())),
        layers_(layer_views<T>(a)),
        products_(products),
        dropout_(a),
        mask_(a),
        lengths_(lengths(a)) {
    const auto options = a.h0[0].options().requires_grad(false);
    const auto ints = options.dtype(at::kInt), narrow = options.dtype(c10::CppTypeToScalarType<P>::value);
    const int64_t capacity = training ? T_ * B_ : B_;
    int64_t widest = 1;
    for (int64_t l = 0; l < L_; ++l) {
      const auto d = layers_[l].d;
      widest = std::max(widest, d);
      auto& tape = tape_.emplace_back();
      tape.raw_u = empty_table({capacity, row_stride<P>(4 * d)}, narrow);
      tape.raw_v = empty_table({layers_[l].top() ? 0 : capacity, row_stride<P>(4 * d)}, narrow);
      // Without training c is one row per row of the batch, overwritten in place.
      tape.c = training ? empty_table({capacity, d}, options) : a.c0[l].clone(at::MemoryFormat::Contiguous);
      tape.stats_u = at::empty({capacity, 2}, options);
      tape.stats_v = at::empty({capacity, 2}, options);
      tape.stats_c = at::empty({capacity, 2}, options);
      tape.slot_w = at::empty({capacity}, ints);
      tape.slot_v = at::empty({capacity}, ints);
      tape.position = at::empty({capacity}, ints);
      tape.slot = at::empty({T_, B_}, ints);
      tape.pre = layers_[l].top() ? at::empty({0}, options) : at::empty({T_, B_}, options);
      tape.counts = at::zeros({3}, options.dtype(at::kLong));
      if (l > 0 || !a.index) {
        tape.raw_w = empty_table({capacity, row_stride<P>(4 * d)}, narrow);
        tape.stats_w = at::empty({capacity, 2}, options);
      }
      const int64_t states = B_ + (training ? capacity : 0);
      tape.states = empty_table({kNarrow ? states : 0, d}, narrow);
      if (kNarrow) tape.states.narrow(0, 0, B_).copy_(a.h0[l]);
      tape.shown = empty_table({mask_.on() ? states : 0, d}, narrow);
      for (int64_t b = 0; mask_.on() && b < B_; ++b) {
        k_.mask(d, mask_.row(l, b), row_of<T>(a.h0[l], b, d), row_of<P>(tape.shown, b, d));
      }
      tape.dots = at::empty({a.detect() ? states : 0, 3}, options);
      at_.push_back({a.h0[l].const_data_ptr<T>(), result.h[l].template data_ptr<T>(),
                     tape.states.template data_ptr<P>(), tape.shown.template data_ptr<P>(),
                     static_cast<StateDots<T>*>(tape.dots.data_ptr()), tape.pre.template data_ptr<T>(),
                     tape.slot.template data_ptr<int32_t>(),
                     result.state_index.template data_ptr<int32_t>() + l * T_ * B_});
      auto& now = now_.emplace_back(B_);
      std::iota(now.begin(), now.end(), 0);
    }
    z_ = result.z.template data_ptr<T>();
    z0_ = a.z0.const_data_ptr<T>();
    if (a.index) index_ = a.index->const_data_ptr<int64_t>();
    rows_.resize(B_);
    gates_ = at::empty({at::get_num_threads(), 4 * widest}, options);
    for (auto* x : {&x_u_, &x_w_, &x_v_}) x->reserve(B_);
    batch_rows_.reserve(B_);
    if (training_) schedule_.reserve(2 * L_ * T_ * B_);  // if every batch were of one row
    for (auto* matrices : {&products_.recurrent, &products_.bottom_up, &products_.top_down}) {
      for (auto& matrix : *matrices) matrix.reserve_forward();
    }
    first_layer_input();
    for (int64_t l = 0; l < L_ && a.detect(); ++l) {
      for (int64_t b = 0; b < B_; ++b) dots_now(l, b) = state_dots(l, h_at(-1, l) + b * layers_[l].d);
    }
  }

  void run() {
    for_rows(B_, B_ * layers_[0].d, [&](int64_t b, int64_t) { copy_on(b); });
    std::vector<int64_t> waiting(L_ + 1);
    for (;;) {
      std::fill(waiting.begin(), waiting.end(), 0);
      for (const auto& r : rows_) ++waiting[r.l];
      if (waiting[L_] == B_) break;  // all are at the window's end
      step(std::max_element(waiting.begin(), waiting.begin() + L_) - waiting.begin());
    }
  }

  /// After run: c after the last step, [B, d].
  at::Tensor c_n(int64_t l) { return training_ ? last_c(l) : tape_[l].c; }

  /// After run: what backward needs.
  std::vector<at::Tensor> saved();

 private:
  struct Row {
    int64_t t = 0, l = 0;  // the step not yet made; l = L: the window is over
    rules::Operation operation;
    bool live;        // t < length
    int32_t i, w, v;  // place among the batch's rows, rows of raw_w and raw_v (or -1)
  };

  /// Of one layer: what single steps read and write. (Tensor's accessors check their type at each call.)
  struct Pointers {
    const T* h0;
    T* h;
    P *states, *shown;
    StateDots<T>* dots;
    T* pre;
    int32_t *slot, *state_index;
  };

  static constexpr bool kNarrow = !std::is_same_v<T, P>;

  int64_t& count(int64_t l, int which) { return tape_[l].counts.template data_ptr<int64_t>()[which]; }
  T* z_at(int64_t t, int64_t b, int64_t l) { return z_ + (t * B_ + b) * (L_ - 1) + l; }
  const T* last_z(int64_t t, int64_t b, int64_t l) { return t > 0 ? z_at(t - 1, b, l) : z0_ + b * (L_ - 1) + l; }
  /// h of layer l after step t (t = -1: h0), [B, d].
  const T* h_at(int64_t t, int64_t l) { return t < 0 ? at_[l].h0 : h_now(t, l, 0); }
  T* h_now(int64_t t, int64_t l, int64_t b) { return at_[l].h + (t * B_ + b) * layers_[l].d; }
  /// The state of layer l that row b is in, as the products read it. (What a step reads of any layer is always the
  /// state that the row is in: only its values after earlier steps, in `h`, depend on t.)
  const P* operand(int64_t t, int64_t l, int64_t b) {
    const int64_t d = layers_[l].d;
    if constexpr (kNarrow)
      return at_[l].states + now_[l][b] * d;
    else
      return h_at(t, l) + b * d;
  }
  /// The same as W and V read it.
  const P* shown(int64_t t, int64_t l, int64_t b) {
    return mask_.on() ? at_[l].shown + now_[l][b] * layers_[l].d : operand(t, l, b);
  }
  StateDots<T>& dots_now(int64_t l, int64_t b) { return at_[l].dots[now_[l][b]]; }
  StateDots<T> state_dots(int64_t l, const T* h) {
    const int64_t d = layers_[l].d;
    StateDots<T> out{};
    if (!layers_[l].top()) out.recurrent = k_.dot(d, layers_[l].u_z(), h);
    if (l + 2 < L_) out.bottom_up = k_.dot(d, layers_[l + 1].w_z(), h);
    if (l > 0) out.top_down = k_.dot(d, layers_[l - 1].v_z(), h);
    return out;
  }

  /// What of the first layer's input is made before the steps: W x and its moments for a table, w_z·x, and the operands
  /// of W x for a sequence.
  void first_layer_input() {
    const auto& y = layers_[0];
    const auto rows = a_.input.numel() / y.below;
    input_ = a_.input.to(c10::CppTypeToScalarType<P>::value);
    if (!y.top() && a_.detect()) {
      input_z_.resize(rows);
      k_.matrix_vector(rows, y.below, a_.input.template const_data_ptr<T>(), y.w_z(), input_z_.data());
    }
    if (index_ == nullptr) return;
    auto& tape = tape_[0];
    tape.raw_w = at::empty({rows, row_stride<P>(4 * y.d)}, input_.options());
    tape.stats_w = at::empty({rows, 2}, a_.input.options());
    for (int64_t r = 0; r < rows; ++r) x_w_.push_back(row_of<P>(input_, r, y.below));
    products_.bottom_up[0].forward(rows, x_w_.data(), tape.raw_w.template data_ptr<P>(), row_stride<P>(4 * y.d));
    for_rows(rows, rows * y.d, [&](int64_t r, int64_t) {
      *row_of<Moments<T>>(tape.stats_w, r, 1) =
          y.w_gain != nullptr ? k_.moments(4 * y.d, raw_row<P>(tape.raw_w, r, 4 * y.d), y.cell.eps, nullptr)
                              : Moments<T>{T(0), T(1)};
    });
  }

  /// Makes row b's steps from where it stands to where it has to wait: at an UPDATE or FLUSH, or the window's end.
  void copy_on(int64_t b) {
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

  /// One UPDATE or FLUSH of layer l for every row that waits for it.
  void step(int64_t l) {
    const auto& y = layers_[l];
    auto& tape = tape_[l];
    const int64_t d = y.d, base = training_ ? count(l, 0) : 0;
    const int64_t base_w = training_ ? count(l, 1) : 0, base_v = training_ ? count(l, 2) : 0;
    const bool table = l == 0 && index_ != nullptr;
    batch_rows_.clear();
    x_u_.clear(), x_w_.clear(), x_v_.clear();
    for (int64_t b = 0; b < B_; ++b) {
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
        x_w_.push_back(l > 0 ? shown(r.t, l - 1, b) : row_of<P>(input_, r.t * B_ + b, y.below));
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
        RowsAhead ahead;
        if (i + 1 < end) look_ahead(batch_rows_[i + 1], base, ahead);
        update(rows_[b], b, base, thread, &ahead);
        ++rows_[b].l;
        copy_on(b);
      }
    });
    if (!training_) return;
    schedule_.insert(schedule_.end(), {static_cast<int32_t>(l), static_cast<int32_t>(m)});
    count(l, 0) = base + m;
    count(l, 1) = base_w + mw;
    count(l, 2) = base_v + mv;
  }

  /// The boundary's pre-activation s_z, 0 where there is none.
  T pre_activation(const Row& r, int64_t l, int64_t b) {
    const auto& y = layers_[l];
    if (y.top() || !a_.detect() || !r.live) return T(0);
    const int64_t at = r.t * B_ + b;
    T pre = dots_now(l, b).recurrent + y.bias_z();
    if (r.operation.flush) pre += dots_now(l + 1, b).top_down;
    if (r.operation.bottom_up)
      pre += l > 0 ? dots_now(l - 1, b).bottom_up : input_z_[index_ != nullptr ? index_[at] : at];
    at_[l].pre[at] = pre;
    return pre;
  }

  int32_t* slot_at(int64_t t, int64_t l, int64_t b) { return at_[l].slot + t * B_ + b; }
  int32_t* index_at(int64_t t, int64_t l, int64_t b) { return at_[l].state_index + t * B_ + b; }

  /// COPY, or a step past the sequence's end.
  void copy(int64_t t, int64_t l, int64_t b) {
    const auto& y = layers_[l];
    const T pre = pre_activation(rows_[b], l, b);
    copy_row(h_now(t, l, b), h_at(t - 1, l) + b * y.d, y.d);
    *slot_at(t, l, b) = t > 0 ? *slot_at(t - 1, l, b) : -1;
    *index_at(t, l, b) = t > 0 ? *index_at(t - 1, l, b) : 0;
    if (!y.top()) *z_at(t, b, l) = rows_[b].live ? decide(t, l, b, pre) : *last_z(t, b, l);
  }

  /// What update will read and write, in that order.
  void look_ahead(int64_t b, int64_t base, RowsAhead& ahead) {
    const auto& r = rows_[b];
    const int64_t s = base + r.i, d = layers_[r.l].d;
    const auto& tape = tape_[r.l];
    ahead.add(raw_row<P>(tape.raw_u, s, 4 * d), 4 * d);
    if (r.w >= 0) ahead.add(raw_row<P>(tape.raw_w, r.w, 4 * d), 4 * d);
    if (r.v >= 0) ahead.add(raw_row<P>(tape.raw_v, r.v, 4 * d), 4 * d);
    ahead.add(row_of<T>(tape.c, training_ ? s : b, d), d);
    ahead.add(h_now(r.t, r.l, b), d);
    if (training_ && kNarrow) ahead.add(at_[r.l].states + (B_ + s) * d, d);
    if (training_ && mask_.on()) ahead.add(at_[r.l].shown + (B_ + s) * d, d);
  }

  /// UPDATE or FLUSH, after the products.
  void update(const Row& r, int64_t b, int64_t base, int64_t thread, RowsAhead* ahead) {
    const int64_t t = r.t, l = r.l, s = base + r.i;
    const auto& y = layers_[l];
    auto& tape = tape_[l];
    const int64_t d = y.d;
    const T pre = pre_activation(r, l, b);
    // Their biases are in gate_bias.
    const auto norm = [&](const at::Tensor& raw, at::Tensor& stats, int64_t i, const T* gain, bool known) {
      Term<T, P> term{raw_row<P>(raw, i, 4 * d), {T(0), T(1)}, gain, nullptr};
      auto* saved = row_of<Moments<T>>(stats, i, 1);
      if (gain != nullptr && !known) *saved = k_.moments(4 * d, term.raw, y.cell.eps, ahead);
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
                                      : a_.c0[l].template const_data_ptr<T>() + b * d;
    T* c_now = row_of<T>(tape.c, training_ ? s : b, d);
    T* h = h_now(t, l, b);
    const int32_t number = t > 0 ? *index_at(t - 1, l, b) : 0;  // of the state that ends here
    T* gates = row_of<T>(gates_, thread, gates_.size(1));
    const T* bias = y.gate_bias(r.w >= 0, r.operation.flush);
    if (r.operation.flush) c_before = nullptr;
    auto& moments = *row_of<Moments<T>>(tape.stats_c, s, 1);
    if (const auto dropout = dropout_.of(l, b, number); dropout.on()) {
      k_.active_gates(d, u, w, v, bias, gates, ahead);
      moments = k_.active_cell(d, gates, c_before, y.cell, dropout, c_now, h);
    } else {
      moments = k_.active_forward(d, u, w, v, bias, c_before, y.cell, gates, c_now, h, ahead);
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

  T decide(int64_t t, int64_t l, int64_t b, T pre) {
    const int64_t at = (t * B_ + b) * (L_ - 1) + l;
    if (a_.boundaries) return a_.boundaries->template const_data_ptr<T>()[at];
    return rules::decide(pre, slope_, a_.noise ? a_.noise->template const_data_ptr<T>() + at : nullptr);
  }

  at::Tensor last_c(int64_t l);

  const HMLSTMArguments& a_;
  WindowResult& result_;
  const bool training_;
  const CellKernels<T, P>& k_;
  const int64_t T_, B_, L_;
  const T slope_;
  std::vector<LayerView<T>> layers_;
  std::vector<LayerTape<T, P>> tape_;
  std::vector<Pointers> at_;
  T* z_ = nullptr;                  // [T, B, L-1]
  const T* z0_ = nullptr;           // [B, L-1]
  const int64_t* index_ = nullptr;  // [T, B], or null
  WindowProducts<P>& products_;
  at::Tensor gates_;  // per thread: those of the step at hand
  std::vector<Row> rows_;
  std::vector<int64_t> batch_rows_;        // the rows of the step at hand, in order
  std::vector<const P*> x_u_, x_w_, x_v_;  // what goes into their products
  std::vector<int32_t> schedule_;          // LayerTape::schedule
  std::vector<T> input_z_;                 // w_z · x per row of the first layer's input
  at::Tensor input_;                       // of P: the first layer's
  const RecurrentDropout<T> dropout_;
  const LockedMask<T> mask_;
  std::vector<std::vector<int32_t>> now_;  // of each layer and row: the state that it is in, in the tables of states
  const std::vector<int64_t> lengths_;     // [B], or empty
};

}  // namespace hmrnn::cpu
