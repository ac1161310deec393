#include "hmrnn/ops/hm_lstm.h"

#include <torch/autograd.h>
#include <torch/library.h>

#include "hmrnn/ops/has_kernels.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

/// The oracle: dense, plain autograd. Soft boundaries (which skip nothing) and devices without a backend of their own.
WindowResult composite(const HMLSTMArguments& a) {
  BoundaryRule rule;
  rule.mode = a.mode();
  rule.slope = a.slope;
  rule.noise = a.noise.value_or(at::Tensor());
  rule.given = a.boundaries.value_or(at::Tensor());
  rule.boundary_gradient = a.boundary_gradient;
  const auto input = a.index ? torch::embedding(a.input, *a.index) : a.input;
  const WindowDropout dropout{a.recurrent_dropout, a.dropout_seed.value_or(at::Tensor()),
                              a.locked_mask ? a.locked_mask->detach() : at::Tensor()};
  return reference_window(layer_parameters(a), input, a.h0, a.c0, a.z0, rule, a.lengths.value_or(at::Tensor()), a.eps,
                          dropout);
}

WindowTuple to_tuple(WindowResult r) { return {std::move(r.h), std::move(r.c_n), r.z, r.state_index}; }

/// Above autograd: chooses between the backend's operators and the composite.
WindowTuple hm_lstm_entry(HMRNN_HM_LSTM_PARAMETERS) {
  auto a = gather_arguments(HMRNN_HM_LSTM_PASS);
  check_arguments(a);
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_forward", "").typed<ForwardOperator>();
  if (a.soft || !has_kernels(op, a.input)) return to_tuple(composite(a));
  a = contiguous(std::move(a));
  if (a.index && a.input.is_cpu()) {  // a device checks for itself: reading its answer would make the host wait
    TORCH_CHECK(a.index->numel() == 0 ||
                    (a.index->min().item<int64_t>() >= 0 && a.index->max().item<int64_t>() < a.input.size(0)),
                "hm_lstm: index must lie in [0, ", a.input.size(0), ")");
  }
  if (a.input.is_cpu()) check_hard_boundaries(a);
  bool training = false;
  if (at::GradMode::is_enabled()) {
    for (const auto& x : differentiable(a)) training = training || x.requires_grad();
  }
  if (training) return hm_lstm_autograd(HMRNN_HM_LSTM_UNPACK(a));
  at::AutoDispatchBelowADInplaceOrView below;
  auto [h, c_n, z, state_index, saved] = op.call(HMRNN_HM_LSTM_UNPACK(a), false);
  return {h, c_n, z, state_index};
}

ForwardTuple forward_cpu(HMRNN_HM_LSTM_PARAMETERS, bool training) {
  return forward_tuple(cpu::hm_lstm_forward(gather_arguments(HMRNN_HM_LSTM_PASS), training));
}

std::vector<at::Tensor> backward_cpu(HMRNN_HM_LSTM_PARAMETERS, at::TensorList h, const at::Tensor& z,
                                     at::TensorList saved, const c10::List<std::optional<at::Tensor>>& grad_h,
                                     const c10::List<std::optional<at::Tensor>>& grad_c_n,
                                     const std::optional<at::Tensor>& grad_z) {
  const auto a = gather_arguments(HMRNN_HM_LSTM_PASS);
  WindowResult result;
  result.h = h.vec();
  result.z = z;
  return gradient_list(
      cpu::hm_lstm_backward(a, result, saved.vec(), plain(grad_h), plain(grad_c_n), grad_z.value_or(at::Tensor())), a);
}

/// Shapes only.
WindowTuple hm_lstm_meta(HMRNN_HM_LSTM_PARAMETERS) {
  const auto a = gather_arguments(HMRNN_HM_LSTM_PASS);
  check_arguments(a);
  const auto options = a.input.options().requires_grad(false);
  std::vector<at::Tensor> h, c_n;
  for (int64_t l = 0; l < a.layers(); ++l) {
    h.push_back(at::empty({a.steps(), a.batch(), a.units(l)}, options));
    c_n.push_back(at::empty({a.batch(), a.units(l)}, options));
  }
  return {h, c_n, at::empty({a.steps(), a.batch(), a.layers() - 1}, options),
          at::empty({a.layers(), a.steps(), a.batch()}, options.dtype(at::kInt))};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  m.def("hm_lstm(" HMRNN_HM_LSTM_PUBLIC_SCHEMA ") -> (Tensor[] h, Tensor[] c_n, Tensor z, Tensor state_index)");
  m.def("_hm_lstm_forward(" HMRNN_HM_LSTM_SCHEMA
        ", bool training) -> (Tensor[] h, Tensor[] c_n, Tensor z, Tensor state_index, Tensor[] saved)");
  m.def("_hm_lstm_backward(" HMRNN_HM_LSTM_SCHEMA
        ", Tensor[] h, Tensor z, Tensor[] saved, Tensor?[] grad_h, Tensor?[] grad_c_n, Tensor? grad_z) -> Tensor[]");
}

TORCH_LIBRARY_IMPL(hmrnn, CompositeImplicitAutograd, m) { m.impl("hm_lstm", hm_lstm_entry); }
TORCH_LIBRARY_IMPL(hmrnn, Meta, m) { m.impl("hm_lstm", hm_lstm_meta); }
TORCH_LIBRARY_IMPL(hmrnn, CPU, m) {
  m.impl("_hm_lstm_forward", forward_cpu);
  m.impl("_hm_lstm_backward", backward_cpu);
}

WindowResult hm_lstm(const std::vector<LayerParameters>& layers, const WindowInput& window, const BoundaryRule& rule,
                     std::optional<torch::ScalarType> product_dtype, double eps, const WindowDropout& dropout) {
  auto a = make_arguments(layers, window, rule, product_dtype, eps, dropout);
  // A table larger than the window would cost more products than the window's own inputs.
  if (a.index && a.input.size(0) > a.index->numel()) {
    a.input = torch::embedding(a.input, *a.index);
    a.index = std::nullopt;
  }
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::hm_lstm", "").typed<WindowOperator>();
  auto [h, c_n, z, state_index] = op.call(HMRNN_HM_LSTM_UNPACK(a));
  return {h, c_n, z, state_index};
}

}  // namespace hmrnn
