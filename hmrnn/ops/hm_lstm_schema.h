#pragma once

#include <ATen/core/Tensor.h>
#include <torch/library.h>

#include <optional>
#include <tuple>
#include <vector>

#include "hmrnn/ops/hm_lstm_arguments.h"

// The operators as the dispatcher sees them. One argument list serves hm_lstm, _hm_lstm_forward and _hm_lstm_backward.

#define HMRNN_HM_LSTM_REQUIRED                                                                                     \
  "Tensor input, Tensor? index, Tensor[] h0, Tensor[] c0, Tensor z0, Tensor[] recurrent, Tensor[] bottom_up, "     \
  "Tensor[] top_down, Tensor[] bias, Tensor[] norm_weight, Tensor[] norm_bias, Tensor slope, Tensor? boundaries, " \
  "Tensor? noise, Tensor? lengths, bool soft, bool boundary_gradient, ScalarType? product_dtype, float eps, "
/// hm_lstm's: what came later may be left out.
#define HMRNN_HM_LSTM_PUBLIC_SCHEMA \
  HMRNN_HM_LSTM_REQUIRED "float recurrent_dropout=0.0, Tensor? dropout_seed=None, Tensor? locked_mask=None"
/// The backends' operators have arguments after these.
#define HMRNN_HM_LSTM_SCHEMA HMRNN_HM_LSTM_REQUIRED "float recurrent_dropout, Tensor? dropout_seed, Tensor? locked_mask"

#define HMRNN_HM_LSTM_PARAMETERS                                                                          \
  const at::Tensor &input, const std::optional<at::Tensor>&index, at::TensorList h0, at::TensorList c0,   \
      const at::Tensor &z0, at::TensorList recurrent, at::TensorList bottom_up, at::TensorList top_down,  \
      at::TensorList bias, at::TensorList norm_weight, at::TensorList norm_bias, const at::Tensor &slope, \
      const std::optional<at::Tensor>&boundaries, const std::optional<at::Tensor>&noise,                  \
      const std::optional<at::Tensor>&lengths, bool soft, bool boundary_gradient,                         \
      std::optional<at::ScalarType> product_dtype, double eps, double recurrent_dropout,                  \
      const std::optional<at::Tensor>&dropout_seed, const std::optional<at::Tensor>&locked_mask

#define HMRNN_HM_LSTM_PASS                                                                                          \
  input, index, h0, c0, z0, recurrent, bottom_up, top_down, bias, norm_weight, norm_bias, slope, boundaries, noise, \
      lengths, soft, boundary_gradient, product_dtype, eps, recurrent_dropout, dropout_seed, locked_mask

/// The same from an HMLSTMArguments `a`.
#define HMRNN_HM_LSTM_UNPACK(a)                                                                                        \
  (a).input, (a).index, (a).h0, (a).c0, (a).z0, (a).recurrent, (a).bottom_up, (a).top_down, (a).bias, (a).norm_weight, \
      (a).norm_bias, (a).slope, (a).boundaries, (a).noise, (a).lengths, (a).soft, (a).boundary_gradient,               \
      (a).product_dtype, (a).eps, (a).recurrent_dropout, (a).dropout_seed, (a).locked_mask

namespace hmrnn {

using WindowTuple = std::tuple<std::vector<at::Tensor>, std::vector<at::Tensor>, at::Tensor, at::Tensor>;
using ForwardTuple =
    std::tuple<std::vector<at::Tensor>, std::vector<at::Tensor>, at::Tensor, at::Tensor, std::vector<at::Tensor>>;

using WindowOperator = WindowTuple(HMRNN_HM_LSTM_PARAMETERS);
using ForwardOperator = ForwardTuple(HMRNN_HM_LSTM_PARAMETERS, bool training);
/// h, z, saved: what forward returned; the gradients in the order of the differentiable arguments, one list.
using BackwardOperator = std::vector<at::Tensor>(HMRNN_HM_LSTM_PARAMETERS, at::TensorList h, const at::Tensor& z,
                                                 at::TensorList saved,
                                                 const c10::List<std::optional<at::Tensor>>& grad_h,
                                                 const c10::List<std::optional<at::Tensor>>& grad_c_n,
                                                 const std::optional<at::Tensor>& grad_z);

inline HMLSTMArguments gather_arguments(HMRNN_HM_LSTM_PARAMETERS) {
  return {input,          index,      h0.vec(),          c0.vec(),        z0,    recurrent.vec(),   bottom_up.vec(),
          top_down.vec(), bias.vec(), norm_weight.vec(), norm_bias.vec(), slope, boundaries,        noise,
          lengths,        soft,       boundary_gradient, product_dtype,   eps,   recurrent_dropout, dropout_seed,
          locked_mask};
}

namespace detail {

/// f(tensors) for each differentiable argument, or its gradient, in the order of the schema; `x`: HMLSTMArguments or
/// HMLSTMGradients.
template <class X, class F>
void each_differentiable(X& x, F f) {
  f(x.input);
  for (auto* list : {&x.h0, &x.c0}) {
    for (auto& t : *list) f(t);
  }
  f(x.z0);
  for (auto* list : {&x.recurrent, &x.bottom_up, &x.top_down, &x.bias, &x.norm_weight, &x.norm_bias}) {
    for (auto& t : *list) f(t);
  }
}

}  // namespace detail

/// The differentiable arguments as one list, in the order of the schema, and back.
inline std::vector<at::Tensor> differentiable(const HMLSTMArguments& a) {
  std::vector<at::Tensor> out;
  detail::each_differentiable(a, [&](const at::Tensor& t) { out.push_back(t); });
  return out;
}
inline void set_differentiable(HMLSTMArguments& a, const std::vector<at::Tensor>& list) {
  auto next = list.begin();
  detail::each_differentiable(a, [&](at::Tensor& t) { t = *next++; });
}

/// What a backend returns, as the dispatcher wants it. Without a gradient z0 has zeros.
inline ForwardTuple forward_tuple(const HMLSTMForward& out) {
  return {out.result.h, out.result.c_n, out.result.z, out.result.state_index, out.saved};
}
inline std::vector<at::Tensor> gradient_list(HMLSTMGradients g, const HMLSTMArguments& a) {
  if (!g.z0.defined()) g.z0 = at::zeros_like(a.z0);
  std::vector<at::Tensor> out;
  detail::each_differentiable(g, [&](const at::Tensor& t) { out.push_back(t); });
  return out;
}
inline std::vector<at::Tensor> plain(const c10::List<std::optional<at::Tensor>>& list) {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < list.size(); ++i) out.push_back(list.get(i).value_or(at::Tensor()));
  return out;
}

/// hm_lstm with autograd (autograd/hm_lstm.cpp): through the backend's operators.
WindowTuple hm_lstm_autograd(HMRNN_HM_LSTM_PARAMETERS);

}  // namespace hmrnn
