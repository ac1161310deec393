#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <torch/library.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/ops/hm_lstm_arguments.h"
#include "hmrnn/ops/saved_tensors.h"

// The operators hm_lstm, _hm_lstm_forward and _hm_lstm_backward as registered in the dispatcher. They share a list of
// arguments, HMLSTMArguments as a plain struct. Only this file depends on their order: the schema's text,
// push_arguments, take_arguments and each_differentiable. Kernels are boxed: they get their arguments on a stack. The
// functions are inline since libhmrnn and libhmrnn_cuda both contain them, hidden.

namespace hmrnn {

/// The schema's arguments; with `defaults`, those of hm_lstm: every argument after the slope has a default.
inline std::string schema_arguments(bool defaults) {
  std::string out =
      "Tensor input, Tensor? index, Tensor[] h0, Tensor[] c0, Tensor z0, Tensor[] recurrent, Tensor[] bottom_up, "
      "Tensor[] top_down, Tensor[] bias, Tensor[] norm_weight, Tensor[] norm_bias, Tensor slope";
  for (const auto& [argument, value] :
       std::initializer_list<std::pair<const char*, const char*>>{{"Tensor? boundaries", "None"},
                                                                  {"Tensor? noise", "None"},
                                                                  {"Tensor? lengths", "None"},
                                                                  {"bool soft", "False"},
                                                                  {"bool boundary_gradient", "False"},
                                                                  {"ScalarType? product_dtype", "None"},
                                                                  {"float eps", "1e-5"},
                                                                  {"float recurrent_dropout", "0.0"},
                                                                  {"Tensor? dropout_seed", "None"},
                                                                  {"Tensor? locked_mask", "None"}}) {
    out += std::string(", ") + argument + (defaults ? std::string("=") + value : std::string());
  }
  return out;
}
constexpr size_t kSchemaArguments = 22;
/// Additional arguments of _hm_lstm_backward, after those.
constexpr size_t kBackwardArguments = 7;

/// f(norm) for the norms of a layer, in the order of the schema's lists: recurrent, bottom_up, top_down (not at the
/// top), cell.
template <class Layer, class F>
void each_norm(Layer& layer, bool top, F f) {
  f(layer.recurrent_norm);
  f(layer.bottom_up_norm);
  if (!top) f(layer.top_down_norm);
  f(layer.cell_norm);
}

/// f(tensor) for each differentiable tensor, in the order of the schema; `X`: HMLSTMArguments or HMLSTMGradients.
template <class X, class F>
void each_differentiable(X& x, bool layer_norm, F f) {
  auto& w = x.window;
  f(w.input);
  for (auto* list : {&w.h0, &w.c0}) {
    for (auto& t : *list) f(t);
  }
  f(w.z0);
  const size_t L = x.layers.size();
  for (auto& y : x.layers) f(y.recurrent);
  for (auto& y : x.layers) f(y.bottom_up);
  for (size_t l = 0; l + 1 < L; ++l) f(x.layers[l].top_down);
  for (auto& y : x.layers) f(y.bias);
  for (size_t l = 0; layer_norm && l < L; ++l) each_norm(x.layers[l], l + 1 == L, [&](auto& n) { f(n.weight); });
  for (size_t l = 0; layer_norm && l < L; ++l) each_norm(x.layers[l], l + 1 == L, [&](auto& n) { f(n.bias); });
}
template <class X, class F>
void each_differentiable(X& a, F f) {
  each_differentiable(a, a.layer_norm(), f);
}

/// The differentiable arguments as one list, in the order of the schema, and back.
inline std::vector<at::Tensor> differentiable(const HMLSTMArguments& a) {
  std::vector<at::Tensor> out;
  each_differentiable(a, [&](const at::Tensor& t) { out.push_back(t); });
  return out;
}
inline void set_differentiable(HMLSTMArguments& a, bool layer_norm, const std::vector<at::Tensor>& list) {
  auto next = list.begin();
  each_differentiable(a, layer_norm, [&](at::Tensor& t) { t = *next++; });
}

/// The optional tensors: those that are neither differentiable nor the slope.
template <class Arguments>
auto constants(Arguments& a) {
  return std::array{&a.window.index,   &a.rule.given,   &a.rule.noise,
                    &a.window.lengths, &a.dropout.seed, &a.dropout.locked_mask};
}

inline void check_count(const char* name, size_t got, int64_t expected) {
  TORCH_CHECK(static_cast<int64_t>(got) == expected, "hm_lstm: ", name, " must have ", expected, " entries, got ", got);
}

inline c10::IValue optional_value(const at::Tensor& x) { return x.defined() ? c10::IValue(x) : c10::IValue(); }
inline at::Tensor tensor_or_none(const c10::IValue& x) { return x.isNone() ? at::Tensor() : x.toTensor(); }

inline void push_arguments(torch::jit::Stack& stack, const HMLSTMArguments& a) {
  const auto& w = a.window;
  const auto per_layer = [&](auto get) {
    std::vector<at::Tensor> out;
    for (const auto& y : a.layers) {
      if (const at::Tensor& x = get(y); x.defined()) out.push_back(x);
    }
    stack.emplace_back(std::move(out));
  };
  const auto norms = [&](auto get) {
    std::vector<at::Tensor> out;
    for (int64_t l = 0; a.layer_norm() && l < a.num_layers(); ++l) {
      each_norm(a.layers[l], a.top(l), [&](const NormParameters& n) { out.push_back(get(n)); });
    }
    stack.emplace_back(std::move(out));
  };
  stack.emplace_back(w.input);
  stack.push_back(optional_value(w.index));
  stack.emplace_back(w.h0);
  stack.emplace_back(w.c0);
  stack.emplace_back(w.z0);
  per_layer([](const LayerParameters& y) { return y.recurrent; });
  per_layer([](const LayerParameters& y) { return y.bottom_up; });
  per_layer([](const LayerParameters& y) { return y.top_down; });
  per_layer([](const LayerParameters& y) { return y.bias; });
  norms([](const NormParameters& n) { return n.weight; });
  norms([](const NormParameters& n) { return n.bias; });
  stack.emplace_back(a.rule.slope);
  stack.push_back(optional_value(a.rule.given));
  stack.push_back(optional_value(a.rule.noise));
  stack.push_back(optional_value(w.lengths));
  stack.emplace_back(a.rule.mode == BoundaryMode::Soft && !a.rule.given.defined());
  stack.emplace_back(a.rule.boundary_gradient);
  stack.push_back(a.product_dtype ? c10::IValue(static_cast<int64_t>(*a.product_dtype)) : c10::IValue());
  stack.emplace_back(a.eps);
  stack.emplace_back(a.dropout.recurrent);
  stack.push_back(optional_value(a.dropout.seed));
  stack.push_back(optional_value(a.dropout.locked_mask));
}

/// The arguments that push_arguments, or a caller of the operator, has pushed; throws c10::Error if the lengths of the
/// lists do not match.
inline HMLSTMArguments take_arguments(c10::ArrayRef<c10::IValue> values) {
  auto next = values.begin();
  const auto tensor = [&] { return (next++)->toTensor(); };
  const auto optional = [&] { return tensor_or_none(*next++); };
  const auto list = [&] { return (next++)->toTensorVector(); };
  HMLSTMArguments a;
  auto& w = a.window;
  w.input = tensor();
  w.index = optional();
  w.h0 = list();
  w.c0 = list();
  w.z0 = tensor();
  const auto recurrent = list(), bottom_up = list(), top_down = list(), bias = list(), weight = list(), shift = list();
  a.rule.slope = tensor();
  a.rule.given = optional();
  a.rule.noise = optional();
  w.lengths = optional();
  const bool soft = (next++)->toBool();
  a.rule.mode = soft ? BoundaryMode::Soft : a.rule.noise.defined() ? BoundaryMode::Bernoulli : BoundaryMode::Step;
  a.rule.boundary_gradient = (next++)->toBool();
  if (!next->isNone()) a.product_dtype = static_cast<at::ScalarType>(next->toInt());
  ++next;
  a.eps = (next++)->toDouble();
  a.dropout.recurrent = (next++)->toDouble();
  a.dropout.seed = optional();
  a.dropout.locked_mask = optional();

  const auto L = static_cast<int64_t>(recurrent.size());
  TORCH_CHECK(L >= 1, "hm_lstm: at least one layer is needed");
  check_count("bottom_up", bottom_up.size(), L);
  check_count("top_down", top_down.size(), L - 1);
  check_count("bias", bias.size(), L);
  if (!weight.empty()) check_count("norm_weight", weight.size(), 4 * L - 1);
  check_count("norm_bias", shift.size(), static_cast<int64_t>(weight.size()));
  a.layers.resize(L);
  size_t norm = 0;
  for (int64_t l = 0; l < L; ++l) {
    auto& y = a.layers[l];
    y.recurrent = recurrent[l];
    y.bottom_up = bottom_up[l];
    if (!a.top(l)) y.top_down = top_down[l];
    y.bias = bias[l];
    if (weight.empty()) continue;
    each_norm(y, a.top(l), [&](NormParameters& n) {
      n = {weight[norm], shift[norm]};
      ++norm;
    });
  }
  return a;
}

inline void push_result(torch::jit::Stack& stack, WindowResult r) {
  stack.emplace_back(std::move(r.h));
  stack.emplace_back(std::move(r.c_n));
  stack.emplace_back(std::move(r.z));
  stack.emplace_back(std::move(r.state_index));
}
inline WindowResult take_result(c10::ArrayRef<c10::IValue> values) {
  return {values[0].toTensorVector(), values[1].toTensorVector(), values[2].toTensor(), values[3].toTensor()};
}

inline c10::IValue optional_list(const std::vector<at::Tensor>& list) {
  c10::List<std::optional<at::Tensor>> out;
  for (const auto& x : list) out.push_back(x.defined() ? std::make_optional(x) : std::nullopt);
  return out;
}
inline std::vector<at::Tensor> tensors_or_none(const c10::IValue& list) {
  std::vector<at::Tensor> out;
  for (const auto& x : list.toOptionalTensorVector()) out.push_back(x.value_or(at::Tensor()));
  return out;
}

/// Calls of the backend's operators through the dispatcher. Forward returns the result and the tensor of pack_saved;
/// backward takes that tensor as `saved` and does not read `b.saved`.
inline std::pair<WindowResult, at::Tensor> call_forward(const HMLSTMArguments& a, bool training) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_forward", "");
  torch::jit::Stack stack;
  push_arguments(stack, a);
  stack.emplace_back(training);
  op.callBoxed(stack);
  return {take_result(stack), stack[4].toTensor()};
}
inline std::vector<at::Tensor> call_backward(const HMLSTMArguments& a, const HMLSTMBackward& b,
                                             const at::Tensor& saved) {
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_hm_lstm_backward", "");
  torch::jit::Stack stack;
  push_arguments(stack, a);
  stack.emplace_back(b.result.h);
  stack.emplace_back(b.result.z);
  stack.emplace_back(saved);
  stack.push_back(optional_list(b.grad_h));
  stack.push_back(optional_list(b.grad_c_n));
  stack.push_back(optional_value(b.grad_z));
  stack.emplace_back(b.input_gradient);
  op.callBoxed(stack);
  return stack[0].toTensorVector();
}

/// Gradients in the order of the differentiable arguments. z0 without a gradient gets zeros, an input whose
/// gradient is not needed an empty tensor.
inline std::vector<at::Tensor> gradient_list(HMLSTMGradients g, const HMLSTMArguments& a) {
  if (!g.window.z0.defined()) g.window.z0 = at::zeros_like(a.window.z0);
  if (!g.window.input.defined()) g.window.input = at::empty({0}, a.window.input.options());
  std::vector<at::Tensor> out;
  each_differentiable(g, a.layer_norm(), [&](const at::Tensor& t) { out.push_back(t); });
  return out;
}

/// Boxed kernels of a backend's functions, which pack and unpack the saved tensors.
template <HMLSTMForward (*function)(const HMLSTMArguments&, bool training)>
void forward_kernel(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  const auto in = torch::jit::last(*stack, kSchemaArguments + 1);
  const auto a = take_arguments(in);
  const auto options = a.window.input.options();
  auto out = function(a, in.back().toBool());
  torch::jit::drop(*stack, kSchemaArguments + 1);
  push_result(*stack, std::move(out.result));
  stack->emplace_back(out.saved.empty() ? nothing_saved(options) : pack_saved(std::move(out.saved), options.device()));
}
template <HMLSTMGradients (*function)(const HMLSTMArguments&, const HMLSTMBackward&)>
void backward_kernel(const c10::OperatorHandle&, torch::jit::Stack* stack) {
  const auto in = torch::jit::last(*stack, kSchemaArguments + kBackwardArguments);
  const auto a = take_arguments(in);
  HMLSTMBackward b;
  const auto rest = in.slice(kSchemaArguments);
  b.result.h = rest[0].toTensorVector();
  b.result.z = rest[1].toTensor();
  b.saved = unpack_saved(rest[2].toTensor());
  b.grad_h = tensors_or_none(rest[3]);
  b.grad_c_n = tensors_or_none(rest[4]);
  b.grad_z = tensor_or_none(rest[5]);
  b.input_gradient = rest[6].toBool();
  auto gradients = gradient_list(function(a, b), a);
  torch::jit::drop(*stack, kSchemaArguments + kBackwardArguments);
  stack->emplace_back(std::move(gradients));
}
template <auto forward, auto backward>
void register_backend(torch::Library& m) {
  m.impl("_hm_lstm_forward", torch::CppFunction::makeFromBoxedFunction<&forward_kernel<forward>>());
  m.impl("_hm_lstm_backward", torch::CppFunction::makeFromBoxedFunction<&backward_kernel<backward>>());
}

/// hm_lstm with autograd (autograd/hm_lstm.cpp): through the backend's operators.
WindowResult hm_lstm_autograd(const HMLSTMArguments& a);

}  // namespace hmrnn
