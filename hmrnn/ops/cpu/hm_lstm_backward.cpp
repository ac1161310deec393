// The backward pass over a window: the steps, then the gradients of what all steps share.

#include "hmrnn/ops/cpu/hm_lstm_backward.h"

namespace hmrnn::cpu {

namespace {

template <class T, class P>
HMLSTMGradients backward(const HMLSTMArguments& a, const HMLSTMBackward& given) {
  WindowProducts<P> products(layer_views<T>(a));
  Backward<T, P> pass(a, given, products);
  pass.run();
  return pass.gradients();
}

}  // namespace

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const HMLSTMBackward& given) {
  const auto contiguous = [](at::Tensor& x) {
    if (x.defined()) x = x.contiguous();
  };
  auto b = given;
  for (auto& x : b.grad_h) contiguous(x);
  contiguous(b.grad_z);
  if (a.window.h0[0].scalar_type() == at::kDouble) return backward<double, double>(a, b);
  if (a.bfloat16()) return backward<float, c10::BFloat16>(a, b);
  return backward<float, float>(a, b);
}

}  // namespace hmrnn::cpu
