// The window backwards (hm_lstm.h): the walk, then the gradients of what all steps share.

#include "hmrnn/ops/cpu/hm_lstm_backward.h"

namespace hmrnn::cpu {

namespace {

template <class T, class P>
HMLSTMGradients backward(const HMLSTMArguments& a, const WindowResult& result, const std::vector<at::Tensor>& saved,
                         const typename Backward<T, P>::OutputGradients& grad) {
  std::vector<LayerTape<T, P>> tapes;
  for (int64_t l = 0; l < a.layers(); ++l) tapes.push_back(LayerTape<T, P>::from(saved, l));
  WindowProducts<P> products(layer_views<T>(a));
  Backward<T, P> pass(a, result, std::move(tapes), saved.back(), grad, products);
  pass.run();
  return pass.gradients();
}

}  // namespace

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const WindowResult& result,
                                 const std::vector<at::Tensor>& saved, const std::vector<at::Tensor>& grad_h,
                                 const std::vector<at::Tensor>& grad_c_n, const at::Tensor& grad_z) {
  const auto contiguous = [](const at::Tensor& x) { return x.defined() ? x.contiguous() : x; };
  const auto run = [&]<class T, class P>() {
    typename Backward<T, P>::OutputGradients grad{{}, grad_c_n, contiguous(grad_z)};
    for (const auto& x : grad_h) grad.h.push_back(contiguous(x));
    return backward<T, P>(a, result, saved, grad);
  };
  if (a.h0[0].scalar_type() == at::kDouble) return run.template operator()<double, double>();
  if (bfloat16_products(a)) return run.template operator()<float, c10::BFloat16>();
  return run.template operator()<float, float>();
}

}  // namespace hmrnn::cpu
