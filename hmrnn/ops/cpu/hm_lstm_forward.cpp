// The forward pass over a window: what comes before the steps, and after them.

#include "hmrnn/ops/cpu/hm_lstm_forward.h"

#include <algorithm>
#include <numeric>

namespace hmrnn::cpu {

template <class T, class P>
Forward<T, P>::Forward(const HMLSTMArguments& a, bool training, WindowProducts<P>& products, WindowResult& result)
    : a_(a),
      result_(result),
      training_(training),
      k_(cell_kernels<T, P>()),
      T_(a.steps()),
      B_(a.batch()),
      L_(a.num_layers()),
      slope_(static_cast<T>(a.rule.slope.item<double>())),
      layers_(layer_views<T>(a)),
      products_(products),
      dropout_(a),
      mask_(a),
      lengths_(lengths(a)) {
  const auto options = a.window.h0[0].options().requires_grad(false);
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
    tape.c = training ? empty_table({capacity, d}, options) : a.window.c0[l].clone(at::MemoryFormat::Contiguous);
    tape.stats_u = at::empty({capacity, 2}, options);
    tape.stats_v = at::empty({capacity, 2}, options);
    tape.stats_c = at::empty({capacity, 2}, options);
    tape.slot_w = at::empty({capacity}, ints);
    tape.slot_v = at::empty({capacity}, ints);
    tape.position = at::empty({capacity}, ints);
    tape.slot = at::empty({T_, B_}, ints);
    tape.pre = layers_[l].top() ? at::empty({0}, options) : at::empty({T_, B_}, options);
    tape.counts = at::zeros({3}, options.dtype(at::kLong));
    if (l > 0 || !a.indexed()) {
      tape.raw_w = empty_table({capacity, row_stride<P>(4 * d)}, narrow);
      tape.stats_w = at::empty({capacity, 2}, options);
    }
    const int64_t states = B_ + (training ? capacity : 0);
    tape.states = empty_table({kNarrow ? states : 0, d}, narrow);
    if (kNarrow) tape.states.narrow(0, 0, B_).copy_(a.window.h0[l]);
    tape.shown = empty_table({mask_.on() ? states : 0, d}, narrow);
    for (int64_t b = 0; mask_.on() && b < B_; ++b) {
      k_.mask(d, mask_.row(l, b), row_of<T>(a.window.h0[l], b, d), row_of<P>(tape.shown, b, d));
    }
    tape.dots = at::empty({a.detect() ? states : 0, 3}, options);
    at_.push_back({a.window.h0[l].const_data_ptr<T>(), result.h[l].template data_ptr<T>(),
                   tape.states.template data_ptr<P>(), tape.shown.template data_ptr<P>(),
                   static_cast<StateDots<T>*>(tape.dots.data_ptr()), tape.pre.template data_ptr<T>(),
                   tape.slot.template data_ptr<int32_t>(),
                   result.state_index.template data_ptr<int32_t>() + l * T_ * B_});
    auto& now = now_.emplace_back(B_);
    std::iota(now.begin(), now.end(), 0);
  }
  z_ = result.z.template data_ptr<T>();
  z0_ = a.window.z0.const_data_ptr<T>();
  if (a.indexed()) index_ = a.window.index.const_data_ptr<int64_t>();
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

/// What is made of the first layer's input before the steps: of a table W x and its moments, of a sequence the operands
/// of W x, and of both w_z·x.
template <class T, class P>
void Forward<T, P>::first_layer_input() {
  const auto& y = layers_[0];
  const auto rows = a_.window.input.numel() / y.below;
  input_ = a_.window.input.to(c10::CppTypeToScalarType<P>::value);
  if (!y.top() && a_.detect()) {
    input_z_.resize(rows);
    k_.matrix_vector(rows, y.below, a_.window.input.template const_data_ptr<T>(), y.w_z(), input_z_.data());
  }
  if (index_ == nullptr) return;
  auto& tape = tape_[0];
  tape.raw_w = at::empty({rows, row_stride<P>(4 * y.d)}, input_.options());
  tape.stats_w = at::empty({rows, 2}, a_.window.input.options());
  for (int64_t r = 0; r < rows; ++r) x_w_.push_back(row_of<P>(input_, r, y.below));
  products_.bottom_up[0].forward(rows, x_w_.data(), tape.raw_w.template data_ptr<P>(), row_stride<P>(4 * y.d));
  for_rows(rows, rows * y.d, [&](int64_t r, int64_t) {
    *row_of<Moments<T>>(tape.stats_w, r, 1) =
        y.w_gain != nullptr ? k_.moments(4 * y.d, raw_row<P>(tape.raw_w, r, 4 * y.d), y.cell.eps, nullptr)
                            : Moments<T>{T(0), T(1)};
  });
}

template <class T, class P>
std::vector<at::Tensor> Forward<T, P>::saved() {
  std::vector<at::Tensor> out;
  for (int64_t l = 0; l < L_; ++l) {
    // Nothing was written beyond the counts: save what is in use.
    const auto n = count(l, 0), nw = count(l, 1), nv = count(l, 2);
    auto& tape = tape_[l];
    for (auto* x : {&tape.raw_u, &tape.stats_u, &tape.stats_c, &tape.c, &tape.slot_w, &tape.slot_v, &tape.position}) {
      *x = x->narrow(0, 0, n);
    }
    if (l > 0 || index_ == nullptr) {
      tape.raw_w = tape.raw_w.narrow(0, 0, nw), tape.stats_w = tape.stats_w.narrow(0, 0, nw);
    }
    if (kNarrow) tape.states = tape.states.narrow(0, 0, B_ + n);
    if (mask_.on()) tape.shown = tape.shown.narrow(0, 0, B_ + n);
    if (a_.detect()) tape.dots = tape.dots.narrow(0, 0, B_ + n);
    if (!layers_[l].top()) tape.raw_v = tape.raw_v.narrow(0, 0, nv);
    tape.stats_v = tape.stats_v.narrow(0, 0, nv);
    if (l == 0) {
      tape.schedule = at::empty({static_cast<int64_t>(schedule_.size()) / 2, 2}, tape.slot.options());
      std::copy(schedule_.begin(), schedule_.end(), tape.schedule.template data_ptr<int32_t>());
    }
    const auto packed = [&](const Product<P>& product) {
      return a_.detect() ? product.packed() : at::empty({0}, tape.raw_u.options());
    };
    tape.packed_u = packed(products_.recurrent[l]);
    tape.packed_w = packed(products_.bottom_up[l]);
    tape.packed_v = packed(products_.top_down[l]);
    for (auto& x : tape.list()) out.push_back(x);
  }
  out.push_back(result_.state_index);
  return out;
}

template <class T, class P>
at::Tensor Forward<T, P>::last_c(int64_t l) {
  const int64_t d = layers_[l].d;
  auto out = at::empty({B_, d}, a_.window.h0[l].options().requires_grad(false));
  const auto* slots = tape_[l].slot.template data_ptr<int32_t>() + (T_ - 1) * B_;
  for (int64_t b = 0; b < B_; ++b) {
    const T* c =
        slots[b] >= 0 ? row_of<T>(tape_[l].c, slots[b], d) : a_.window.c0[l].template const_data_ptr<T>() + b * d;
    copy_row(row_of<T>(out, b, d), c, d);
  }
  return out;
}

namespace {

template <class T, class P>
HMLSTMForward forward(const HMLSTMArguments& a, bool training) {
  const int64_t L = a.num_layers(), steps = a.steps(), batch = a.batch();
  const auto options = a.window.h0[0].options().requires_grad(false);
  HMLSTMForward out;
  for (int64_t l = 0; l < L; ++l) out.result.h.push_back(empty_table({steps, batch, a.units(l)}, options));
  out.result.z = at::empty({steps, batch, L - 1}, options);
  out.result.state_index = at::empty({L, steps, batch}, options.dtype(at::kInt));

  WindowProducts<P> products(layer_views<T>(a));
  Forward<T, P> pass(a, training, products, out.result);
  pass.run();
  for (int64_t l = 0; l < L; ++l) out.result.c_n.push_back(pass.c_n(l));
  if (training) out.saved = pass.saved();
  return out;
}

}  // namespace

HMLSTMForward hm_lstm_forward(const HMLSTMArguments& a, bool training) {
  check_index(a);
  check_hard_boundaries(a);
  if (a.window.h0[0].scalar_type() == at::kDouble) return forward<double, double>(a, training);
  if (a.bfloat16()) return forward<float, c10::BFloat16>(a, training);
  return forward<float, float>(a, training);
}

}  // namespace hmrnn::cpu
