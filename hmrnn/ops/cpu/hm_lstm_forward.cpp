// The forward pass over a window: what comes before the steps, and after them.

#include "hmrnn/ops/cpu/hm_lstm_forward.h"

#include <algorithm>
#include <deque>
#include <numeric>

#include "hmrnn/ops/cpu/for_tasks.h"

namespace hmrnn::cpu {

template <class T, class P>
FirstLayerInput<T, P>::FirstLayerInput(const HMLSTMArguments& a, const LayerView<T>& layer)
    : operands(a.window.input.to(c10::CppTypeToScalarType<P>::value)), a_(a), layer_(layer) {
  const auto rows = a.window.input.numel() / layer.below;
  if (!layer.top() && a.detect()) z.resize(rows);
  if (!a.indexed()) return;
  raw_w = at::empty({rows, row_stride<P>(4 * layer.d)}, operands.options().requires_grad(false));
  stats_w = at::empty({rows, 2}, a.window.input.options().requires_grad(false));
}

template <class T, class P>
void FirstLayerInput<T, P>::compute(Product<P>& bottom_up) {
  const auto& y = layer_;
  const auto& k = cell_kernels<T, P>();
  const auto rows = a_.window.input.numel() / y.below;
  if (!z.empty()) k.matrix_vector(rows, y.below, a_.window.input.template const_data_ptr<T>(), y.w_z(), z.data());
  if (!raw_w.defined()) return;
  std::vector<const P*> x;
  x.reserve(rows);
  for (int64_t r = 0; r < rows; ++r) x.push_back(row_of<P>(operands, r, y.below));
  bottom_up.forward(rows, x.data(), raw_w.template data_ptr<P>(), row_stride<P>(4 * y.d));
  for_rows(rows, rows * y.d, [&](int64_t r, int64_t) {
    *row_of<Moments<T>>(stats_w, r, 1) = y.w_gain != nullptr
                                             ? k.moments(4 * y.d, raw_row<P>(raw_w, r, 4 * y.d), y.cell.eps, nullptr)
                                             : Moments<T>{T(0), T(1)};
  });
}

template <class T, class P>
Forward<T, P>::Forward(const HMLSTMArguments& a, const std::vector<LayerView<T>>& layers, BatchRows mine, bool training,
                       WindowProducts<P>& products, const FirstLayerInput<T, P>& input, WindowResult& result)
    : a_(a),
      result_(result),
      training_(training),
      k_(cell_kernels<T, P>()),
      T_(a.steps()),
      B_(a.batch()),
      L_(a.num_layers()),
      mine_(mine),
      slope_(static_cast<T>(a.rule.slope.item<double>())),
      layers_(layers),
      products_(products),
      input_(input),
      dropout_(a),
      mask_(a),
      lengths_(lengths(a)) {
  const auto options = a.window.h0[0].options().requires_grad(false);
  const auto ints = options.dtype(at::kInt), narrow = options.dtype(c10::CppTypeToScalarType<P>::value);
  const int64_t capacity = training ? T_ * mine_.size() : B_;
  int64_t widest = 1;
  for (int64_t l = 0; l < L_; ++l) {
    const auto d = layers_[l].d;
    widest = std::max(widest, d);
    auto& tape = tape_.emplace_back();
    tape.raw_u = empty_table({capacity, row_stride<P>(4 * d)}, narrow);
    tape.raw_v = empty_table({layers_[l].top() ? 0 : capacity, row_stride<P>(4 * d)}, narrow);
    // Without training c is one row per row of the batch, overwritten in place.
    tape.c = training ? empty_table({capacity, d}, options) : result.c_n[l];
    tape.stats_u = at::empty({capacity, 2}, options);
    tape.stats_v = at::empty({capacity, 2}, options);
    tape.stats_c = at::empty({capacity, 2}, options);
    tape.slot_w = at::empty({capacity}, ints);
    tape.slot_v = at::empty({capacity}, ints);
    tape.position = at::empty({capacity}, ints);
    tape.slot = at::empty({T_, B_}, ints);
    tape.pre = layers_[l].top() ? at::empty({0}, options) : at::empty({T_, B_}, options);
    tape.counts = at::zeros({3}, options.dtype(at::kLong));
    if (l == 0 && a.indexed()) {
      tape.raw_w = input.raw_w, tape.stats_w = input.stats_w;
    } else {
      tape.raw_w = empty_table({capacity, row_stride<P>(4 * d)}, narrow);
      tape.stats_w = at::empty({capacity, 2}, options);
    }
    const int64_t states = B_ + (training ? capacity : 0);
    tape.states = empty_table({kNarrow ? states : 0, d}, narrow);
    tape.shown = empty_table({mask_.on() ? states : 0, d}, narrow);
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
  gates_ = at::empty({usable_threads(), 4 * widest}, options);
  for (auto* x : {&x_u_, &x_w_, &x_v_}) x->reserve(mine_.size());
  batch_rows_.reserve(mine_.size());
  if (training_) schedule_.reserve(2 * L_ * T_ * mine_.size());  // if every batch were of one row
}

/// Computes what depends only on the initial states.
template <class T, class P>
void Forward<T, P>::first_states() {
  for (int64_t l = 0; l < L_; ++l) {
    const int64_t d = layers_[l].d;
    for (int64_t b = mine_.begin; b < mine_.end; ++b) {
      const T* h = h_at(-1, l) + b * d;
      if constexpr (kNarrow) k_.narrow(d, h, at_[l].states + b * d);
      if (mask_.on()) k_.mask(d, mask_.row(l, b), h, at_[l].shown + b * d);
      if (a_.detect()) dots_now(l, b) = state_dots(l, h);
    }
  }
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
  return out;
}

/// c after the last step.
template <class T, class P>
void Forward<T, P>::last_c(int64_t l) {
  const int64_t d = layers_[l].d;
  const auto* slots = tape_[l].slot.template data_ptr<int32_t>() + (T_ - 1) * B_;
  for (int64_t b = mine_.begin; b < mine_.end; ++b) {
    const T* c =
        slots[b] >= 0 ? row_of<T>(tape_[l].c, slots[b], d) : a_.window.c0[l].template const_data_ptr<T>() + b * d;
    copy_row(row_of<T>(result_.c_n[l], b, d), c, d);
  }
}

#define HMRNN_INSTANTIATE(T, P)                \
  template void Forward<T, P>::first_states(); \
  template void Forward<T, P>::last_c(int64_t);
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(float, c10::BFloat16)
HMRNN_INSTANTIATE(double, double)
#undef HMRNN_INSTANTIATE

namespace {

template <class T, class P>
HMLSTMForward forward(const HMLSTMArguments& a, bool training) {
  const int64_t L = a.num_layers(), steps = a.steps(), batch = a.batch();
  const auto options = a.window.h0[0].options().requires_grad(false);
  HMLSTMForward out;
  for (int64_t l = 0; l < L; ++l) {
    out.result.h.push_back(empty_table({steps, batch, a.units(l)}, options));
    out.result.c_n.push_back(training ? at::empty({batch, a.units(l)}, options)
                                      : a.window.c0[l].clone(at::MemoryFormat::Contiguous));
  }
  out.result.z = at::empty({steps, batch, L - 1}, options);
  out.result.state_index = at::empty({L, steps, batch}, options.dtype(at::kInt));

  const auto layers = layer_views<T>(a);
  WindowProducts<P> products(layers);
  products.each([](Product<P>& matrix) { matrix.reserve_forward(); });
  FirstLayerInput<T, P> input(a, layers[0]);
  // This thread allocates all memory: other threads may return theirs to the system after each window.
  const int64_t shares = row_shares(a);
  std::deque<WindowProducts<P>> own;
  std::deque<Forward<T, P>> passes;
  if (shares == 1) {
    passes.emplace_back(a, layers, BatchRows{0, batch}, training, products, input, out.result);
    with_product_team<P>([&] {
      input.compute(products.bottom_up[0]);
      passes[0].run();
    });
  } else {
    std::vector<Product<P>*> matrices;
    products.each([&](Product<P>& matrix) { matrices.push_back(&matrix); });
    for_tasks(static_cast<int64_t>(matrices.size()), [&](int64_t i) {
      matrices[i]->pack_forward();
      if (matrices[i] == &products.bottom_up[0]) input.compute(*matrices[i]);
    });
    for (int64_t i = 0; i < shares; ++i) {
      passes.emplace_back(a, layers, rows_of_share(batch, i, shares), training, own.emplace_back(products.beside()),
                          input, out.result);
    }
    for_tasks(shares, [&](int64_t i) { passes[i].run(); });
  }
  for (auto& pass : passes) {
    for (auto& x : training ? pass.saved() : std::vector<at::Tensor>()) out.saved.push_back(std::move(x));
  }
  if (training) out.saved.push_back(out.result.state_index);
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
