#include "hmrnn/ops/hm_lstm.h"

#include <torch/autograd.h>
#include <torch/library.h>

#include "hmrnn/ops/has_kernels.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

/// The oracle: dense, plain autograd. Soft boundaries (which skip nothing) and devices without a backend of their own.
WindowResult composite(const HMLSTMArguments& a) {
  const auto& w = a.window;
  auto dropout = a.dropout;
  if (dropout.locked_mask.defined()) dropout.locked_mask = dropout.locked_mask.detach();
  return reference_window(a.layers, a.indexed() ? torch::embedding(w.input, w.index) : w.input, w.h0, w.c0, w.z0,
                          a.rule, w.lengths, a.eps, dropout);
}

void check_index(const HMLSTMArguments& a) {
  const auto& index = a.window.index;
  if (!index.defined() || index.numel() == 0) return;
  const auto rows = a.window.input.size(0);
  TORCH_CHECK(index.min().item<int64_t>() >= 0 && index.max().item<int64_t>() < rows, "hm_lstm: index must lie in [0, ",
              rows, ")");
}

/// Above autograd: chooses between the backend's operators and the composite.
WindowResult choose(HMLSTMArguments a) {
  check_arguments(a);
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_forward", "");
  if (a.rule.mode == BoundaryMode::Soft || !has_kernels(op, a.window.input)) return composite(a);
  a = contiguous(std::move(a));
  if (a.window.input.is_cpu()) {  // a device checks for itself: reading its answer would make the host wait
    check_index(a);
    check_hard_boundaries(a);
  }
  bool training = false;
  if (at::GradMode::is_enabled()) {
    for (const auto& x : differentiable(a)) training = training || x.requires_grad();
  }
  if (training) return hm_lstm_autograd(a);
  at::AutoDispatchBelowADInplaceOrView below;
  return call_forward(a, false).result;
}

/// Shapes only.
WindowResult meta(HMLSTMArguments a) {
  check_arguments(a);
  const auto options = a.window.input.options().requires_grad(false);
  WindowResult out;
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    out.h.push_back(at::empty({a.steps(), a.batch(), a.units(l)}, options));
    out.c_n.push_back(at::empty({a.batch(), a.units(l)}, options));
  }
  out.z = at::empty({a.steps(), a.batch(), a.num_layers() - 1}, options);
  out.state_index = at::empty({a.num_layers(), a.steps(), a.batch()}, options.dtype(at::kInt));
  return out;
}

template <WindowResult (*function)(HMLSTMArguments)>
void window_kernel(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  auto result = function(take_arguments(torch::jit::last(*stack, kSchemaArguments)));
  torch::jit::drop(*stack, kSchemaArguments);
  push_result(*stack, std::move(result));
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  const std::string result = "Tensor[] h, Tensor[] c_n, Tensor z, Tensor state_index", shared = schema_arguments(false);
  m.def(("hm_lstm(" + schema_arguments(true) + ") -> (" + result + ")").c_str());
  m.def(("_hm_lstm_forward(" + shared + ", bool training) -> (" + result + ", Tensor[] saved)").c_str());
  m.def(("_hm_lstm_backward(" + shared +
         ", Tensor[] h, Tensor z, Tensor[] saved, Tensor?[] grad_h, Tensor?[] grad_c_n, Tensor? grad_z, "
         "bool input_gradient) -> Tensor[]")
            .c_str());
}

TORCH_LIBRARY_IMPL(hmrnn, CompositeImplicitAutograd, m) {
  m.impl("hm_lstm", torch::CppFunction::makeFromBoxedFunction<&window_kernel<choose>>());
}
TORCH_LIBRARY_IMPL(hmrnn, Meta, m) {
  m.impl("hm_lstm", torch::CppFunction::makeFromBoxedFunction<&window_kernel<meta>>());
}
TORCH_LIBRARY_IMPL(hmrnn, CPU, m) { register_backend<cpu::hm_lstm_forward, cpu::hm_lstm_backward>(m); }

WindowResult hm_lstm(const std::vector<LayerParameters>& layers, const WindowInput& window, const BoundaryRule& rule,
                     std::optional<torch::ScalarType> product_dtype, double eps, const WindowDropout& dropout) {
  HMLSTMArguments a{layers, window, rule, dropout, product_dtype, eps};
  // A table larger than the window would cost more products than the window's own inputs.
  if (a.indexed() && a.window.input.size(0) > a.window.index.numel()) {
    a.window.input = torch::embedding(a.window.input, a.window.index);
    a.window.index = at::Tensor();
  }
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::hm_lstm", "");
  torch::jit::Stack stack;
  push_arguments(stack, a);
  op.callBoxed(stack);
  return take_result(stack);
}

}  // namespace hmrnn
