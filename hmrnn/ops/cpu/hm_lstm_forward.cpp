// The window forwards (forward_pass.h), and what it hands on.

#include "hmrnn/ops/cpu/forward_pass.h"

namespace hmrnn::cpu {

template <class T, class P>
std::vector<at::Tensor> Forward<T, P>::saved() {
  std::vector<at::Tensor> out;
  for (int64_t l = 0; l < L_; ++l) {
    // Beyond the counts nothing was written: hand on what is in use.
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
  auto out = at::empty({B_, d}, a_.h0[l].options().requires_grad(false));
  const auto* slots = tape_[l].slot.template data_ptr<int32_t>() + (T_ - 1) * B_;
  for (int64_t b = 0; b < B_; ++b) {
    const T* c = slots[b] >= 0 ? row_of<T>(tape_[l].c, slots[b], d) : a_.c0[l].template const_data_ptr<T>() + b * d;
    copy_row(row_of<T>(out, b, d), c, d);
  }
  return out;
}

namespace {

template <class T, class P>
HMLSTMForward forward(const HMLSTMArguments& a, bool training) {
  const int64_t L = a.layers(), steps = a.steps(), batch = a.batch();
  const auto options = a.h0[0].options().requires_grad(false);
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
  if (a.h0[0].scalar_type() == at::kDouble) return forward<double, double>(a, training);
  if (bfloat16_products(a)) return forward<float, c10::BFloat16>(a, training);
  return forward<float, float>(a, training);
}

}  // namespace hmrnn::cpu
