// The window forwards (forward_pass.h), and what it hands on.

#include "hmrnn/ops/cpu/forward_pass.h"

namespace hmrnn::cpu {

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
