#include "hmrnn/ops/hm_lstm.h"

#include <torch/autograd.h>
#include <torch/library.h>

#include "hmrnn/ops/autocast.h"
#include "hmrnn/ops/autograd/forward_derivative.h"
#include "hmrnn/ops/has_kernels.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

/// hm_lstm through the dispatcher.
WindowResult call_window(const HMLSTMArguments& a) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::hm_lstm", "");
  torch::jit::Stack stack;
  push_arguments(stack, a);
  op.callBoxed(stack);
  return take_result(stack);
}

/// The reference, dense, plain autograd: for soft boundaries (nothing can be skipped) and devices without a backend.
WindowResult composite(const HMLSTMArguments& a) {
  const auto& w = a.window;
  if (a.rule.mode != BoundaryMode::Soft) {
    assert_hard("hm_lstm", "z0", w.z0);
    if (a.rule.given.defined()) assert_hard("hm_lstm", "boundaries", a.rule.given);
  }
  auto dropout = a.dropout;
  if (dropout.locked_mask.defined()) dropout.locked_mask = dropout.locked_mask.detach();
  return reference_window(a.layers, a.indexed() ? torch::embedding(w.input, w.index) : w.input, w.h0, w.c0, w.z0,
                          a.rule, w.lengths, a.eps, dropout);
}

/// Above autograd: chooses between the backend's operators and the composite.
WindowResult choose(HMLSTMArguments a) {
  check_arguments(a);
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_forward", "");
  if (a.rule.mode == BoundaryMode::Soft || !has_kernels(op, a.window.input)) return composite(a);
  refuse_forward_derivative("hm_lstm", differentiable(a), ", except with soft boundaries");
  a = contiguous(std::move(a));
  bool training = false;
  if (at::GradMode::is_enabled()) {
    for (const auto& x : differentiable(a)) training = training || x.requires_grad();
  }
  if (training) return hm_lstm_autograd(a);
  at::AutoDispatchBelowADInplaceOrView below;
  return call_forward(a, false).first;
}

/// The shapes of a backend's results: for the meta device, and for symbolic shapes (torch.compile, torch.export).
std::pair<WindowResult, at::Tensor> forward_shapes(const HMLSTMArguments& a) {
  const auto options = a.window.input.options().requires_grad(false);
  const auto T = a.sym_steps(), B = a.sym_batch();
  const c10::SymInt L = a.num_layers();
  WindowResult out;
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    out.h.push_back(at::empty_symint({T, B, a.sym_units(l)}, options));
    out.c_n.push_back(at::empty_symint({B, a.sym_units(l)}, options));
  }
  out.z = at::empty_symint({T, B, L - 1}, options);
  out.state_index = at::empty_symint({L, T, B}, options.dtype(at::kInt));
  return {std::move(out), nothing_saved(options)};
}

void forward_meta(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  auto [result, saved] = forward_shapes(take_arguments(torch::jit::last(*stack, kSchemaArguments + 1)));
  torch::jit::drop(*stack, kSchemaArguments + 1);
  push_result(*stack, std::move(result));
  stack->emplace_back(std::move(saved));
}

void backward_meta(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  const auto in = torch::jit::last(*stack, kSchemaArguments + kBackwardArguments);
  const auto a = take_arguments(in);
  const bool input_gradient = in.back().toBool();
  std::vector<at::Tensor> gradients;
  for (const auto& x : differentiable(a)) {
    gradients.push_back(at::empty_symint(x.sym_sizes(), x.options().requires_grad(false)));
  }
  if (!input_gradient) gradients[0] = at::empty({0}, gradients[0].options());
  torch::jit::drop(*stack, kSchemaArguments + kBackwardArguments);
  stack->emplace_back(std::move(gradients));
}

/// Under torch.autocast to bfloat16: products of bfloat16 operands, everything else in float32, as without autocast.
WindowResult autocast(HMLSTMArguments a) {
  const auto device = a.window.input.device().type();
  const c10::impl::ExcludeDispatchKeyGuard once(at::autocast::get_autocast_dispatch_key_from_device_type(device));
  each_differentiable(a, to_full_precision);
  for (auto* x : {&a.rule.given, &a.rule.noise, &a.dropout.locked_mask}) to_full_precision(*x);
  if (!a.product_dtype) a.product_dtype = autocast_product_dtype(a.window.input);
  return call_window(a);
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
  m.def(("_hm_lstm_forward(" + shared + ", bool training) -> (" + result + ", Tensor saved)").c_str());
  m.def(("_hm_lstm_backward(" + shared +
         ", Tensor[] h, Tensor z, Tensor saved, Tensor?[] grad_h, Tensor?[] grad_c_n, Tensor? grad_z, "
         "bool input_gradient) -> Tensor[]")
            .c_str());
}

TORCH_LIBRARY_IMPL(hmrnn, CompositeImplicitAutograd, m) {
  m.impl("hm_lstm", torch::CppFunction::makeFromBoxedFunction<&window_kernel<choose>>());
}
TORCH_LIBRARY_IMPL(hmrnn, Meta, m) {
  m.impl("_hm_lstm_forward", torch::CppFunction::makeFromBoxedFunction<&forward_meta>());
  m.impl("_hm_lstm_backward", torch::CppFunction::makeFromBoxedFunction<&backward_meta>());
}
TORCH_LIBRARY_IMPL(hmrnn, AutocastCPU, m) {
  m.impl("hm_lstm", torch::CppFunction::makeFromBoxedFunction<&window_kernel<autocast>>());
}
TORCH_LIBRARY_IMPL(hmrnn, AutocastCUDA, m) {
  m.impl("hm_lstm", torch::CppFunction::makeFromBoxedFunction<&window_kernel<autocast>>());
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
  return call_window(a);
}

}  // namespace hmrnn
