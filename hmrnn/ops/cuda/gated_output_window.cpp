#include "hmrnn/ops/cuda/gated_output_window.h"

#include "hmrnn/ops/cuda/products.h"

namespace hmrnn::cuda {

template <class T, class P>
std::tuple<at::Tensor, std::vector<at::Tensor>> gated_output_forward(at::TensorList h, const at::Tensor& gates,
                                                                     at::TensorList embedding,
                                                                     GatedOutputKernels<T, P>& kernels) {
  constexpr auto operand = c10::CppTypeToScalarType<P>::value;
  const auto L = static_cast<int64_t>(h.size());
  const int64_t steps = h[0].size(0), batch = h[0].size(1), n = steps * batch, out = embedding[0].size(0);
  const auto options = h[0].options().requires_grad(false);
  auto gate = at::empty({n, L}, options);
  auto projected = at::empty({L, n, out}, options);
  int64_t offset = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int64_t d = h[l].size(2);
    const auto x = h[l].view({n, d});
    const auto weights = gates.narrow(1, offset, d).t();
    if (l == 0) {
      at::mm_out(gate, x, weights);
    } else {
      gate.addmm_(x, weights);
    }
    multiply(projected.select(0, l), x.to(operand), embedding[l].to(operand).t());
    offset += d;
  }
  gate.sigmoid_();
  auto output = at::empty({steps, batch, out}, options);
  GatedSum<T> s;
  s.n = n;
  s.layers = L;
  s.out = out;
  s.wide = out % 4 == 0;
  s.gate = data<T>(gate);
  s.x = data<T>(projected);
  s.y = data<T>(output);
  kernels.gated_sum(s);
  return {output, {gate, projected}};
}

template <class T, class P>
std::vector<at::Tensor> gated_output_backward(at::TensorList h, const at::Tensor& gates, at::TensorList embedding,
                                              const at::Tensor& output, at::TensorList saved, const at::Tensor& grad,
                                              GatedOutputKernels<T, P>& kernels) {
  constexpr auto operand = c10::CppTypeToScalarType<P>::value;
  const auto L = static_cast<int64_t>(h.size());
  const int64_t n = h[0].size(0) * h[0].size(1), out = embedding[0].size(0);
  const auto options = h[0].options().requires_grad(false);
  const auto scaled = at::empty({L, n, out}, options.dtype(operand));
  const auto d_pre = at::empty({n, L}, options);
  GatedSumBackward<T, P> s;
  s.n = n;
  s.layers = L;
  s.out = out;
  s.gate = data<T>(saved[0]);
  s.x = data<T>(saved[1]);
  s.y = data<T>(output);
  s.dy = data<T>(grad);
  s.scaled = data<P>(scaled);
  s.d_pre = data<T>(d_pre);
  s.wide = out % 4 == 0 && aligned({s.y, s.dy});
  kernels.gated_sum_backward(s);

  std::vector<at::Tensor> d_h, d_embedding;
  auto d_gates = at::empty_like(gates);
  int64_t offset = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int64_t d = h[l].size(2);
    const auto x = h[l].view({n, d});
    const auto e = scaled.select(0, l);
    d_gates.narrow(1, offset, d).copy_(at::mm(d_pre.t(), x));
    d_embedding.push_back(product(e.t(), x.to(operand), options));
    auto dh = product(e, embedding[l].to(operand), options);
    dh.addmm_(d_pre, gates.narrow(1, offset, d));
    d_h.push_back(dh.view(h[l].sizes()));
    offset += d;
  }
  d_h.push_back(d_gates);
  d_h.insert(d_h.end(), d_embedding.begin(), d_embedding.end());
  return d_h;
}

#define HMRNN_INSTANTIATE(T, P)                                                                                \
  template std::tuple<at::Tensor, std::vector<at::Tensor>> gated_output_forward(                               \
      at::TensorList, const at::Tensor&, at::TensorList, GatedOutputKernels<T, P>&);                           \
  template std::vector<at::Tensor> gated_output_backward(at::TensorList, const at::Tensor&, at::TensorList,    \
                                                         const at::Tensor&, at::TensorList, const at::Tensor&, \
                                                         GatedOutputKernels<T, P>&);
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(double, double)
HMRNN_INSTANTIATE(float, c10::BFloat16)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cuda
