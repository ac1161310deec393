#include "hmrnn/ops/gated_output.h"

#include <torch/library.h>

#include <cstdint>
#include <limits>

#include "hmrnn/ops/autocast.h"
#include "hmrnn/ops/autograd/forward_derivative.h"
#include "hmrnn/ops/autograd/gated_output.h"
#include "hmrnn/ops/cpu/gated_output.h"
#include "hmrnn/ops/gated_output_schema.h"
#include "hmrnn/ops/has_kernels.h"
#include "hmrnn/ops/saved_tensors.h"

namespace hmrnn {

namespace {

/// Nothing is empty, and int32 numbers the rows. (A symbolic size is checked when the operator computes.)
void check_sizes(at::TensorList h, at::TensorList embedding) {
  const auto at_least_one = [](const c10::SymInt& size) {
    const auto value = size.maybe_as_int();
    return !value || *value >= 1;
  };
  for (size_t l = 0; l < h.size(); ++l) {
    TORCH_CHECK(at_least_one(h[l].sym_size(0)) && at_least_one(h[l].sym_size(1)) && at_least_one(h[l].sym_size(2)),
                "gated_output: h[", l, "] must not be empty, got ", h[l].sym_sizes());
  }
  TORCH_CHECK(at_least_one(embedding[0].sym_size(0)), "gated_output: embedding[0] must not be empty, got ",
              embedding[0].sym_sizes());
  const auto T = h[0].sym_size(0).maybe_as_int(), B = h[0].sym_size(1).maybe_as_int();
  TORCH_CHECK(!T || !B || *B <= std::numeric_limits<int32_t>::max() / *T,
              "gated_output: T · B must be below 2^31, got T = ", *T, ", B = ", *B);
}

void check(at::TensorList h, const std::optional<at::Tensor>& state_index, const at::Tensor& gates,
           at::TensorList embedding, std::optional<at::ScalarType> product_dtype) {
  TORCH_CHECK(!h.empty(), "gated_output: at least one layer is needed");
  TORCH_CHECK(embedding.size() == h.size(), "gated_output: embedding must have ", h.size(), " entries, got ",
              embedding.size());
  const auto L = static_cast<int64_t>(h.size());
  c10::SymInt total = 0;
  const auto require = [](const c10::SymBool& holds, const auto&... message) {
    TORCH_SYM_CHECK(holds, "gated_output: ", message...);
  };
  for (int64_t l = 0; l < L; ++l) {
    require(c10::SymBool(h[l].dim() == 3 && h[0].dim() == 3), "h[", l, "] must have shape [T, B, d], got ",
            h[l].sym_sizes());
    require(c10::sym_equals(h[l].sym_sizes().slice(0, 2), h[0].sym_sizes().slice(0, 2)), "h[", l,
            "] must have shape [T, B, d], like h[0] ", h[0].sym_sizes(), ", got ", h[l].sym_sizes());
    require(c10::sym_equals(embedding[l].sym_sizes(), {embedding[0].sym_size(0), h[l].sym_size(2)}), "embedding[", l,
            "] must have shape [out, ", h[l].sym_size(2), "], got ", embedding[l].sym_sizes());
    TORCH_CHECK(h[l].scalar_type() == h[0].scalar_type() && embedding[l].scalar_type() == h[0].scalar_type(),
                "gated_output: h[", l, "] and embedding[", l, "] must be ", h[0].scalar_type(), ", got ",
                h[l].scalar_type(), " and ", embedding[l].scalar_type());
    TORCH_CHECK(h[l].device() == h[0].device() && embedding[l].device() == h[0].device(), "gated_output: h[", l,
                "] and embedding[", l, "] must be on ", h[0].device(), ", got ", h[l].device(), " and ",
                embedding[l].device());
    total += h[l].sym_size(2);
  }
  require(c10::sym_equals(gates.sym_sizes(), {c10::SymInt(L), total}), "gates must have shape [", L, ", ", total,
          "], got ", gates.sym_sizes());
  TORCH_CHECK(gates.scalar_type() == h[0].scalar_type(), "gated_output: gates must be ", h[0].scalar_type(), ", got ",
              gates.scalar_type());
  TORCH_CHECK(gates.device() == h[0].device(), "gated_output: gates must be on ", h[0].device(), ", got ",
              gates.device());
  check_sizes(h, embedding);
  const auto type = h[0].scalar_type();
  TORCH_CHECK(!product_dtype || *product_dtype == type || (*product_dtype == at::kBFloat16 && type == at::kFloat),
              "gated_output: product_dtype must be the dtype of h, or bfloat16 with float32 h, got ", *product_dtype);
  if (!state_index) return;
  const auto T = h[0].sym_size(0), B = h[0].sym_size(1);
  require(c10::SymBool(state_index->scalar_type() == at::kInt)
              .sym_and(c10::sym_equals(state_index->sym_sizes(), {c10::SymInt(L), T, B})),
          "state_index must be int32 [", L, ", ", T, ", ", B, "], got ", state_index->scalar_type(), " ",
          state_index->sym_sizes());
  TORCH_CHECK(state_index->device() == h[0].device(), "gated_output: state_index must be on ", h[0].device(), ", got ",
              state_index->device());
}

}  // namespace

torch::Tensor reference_gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& gates,
                                     const std::vector<torch::Tensor>& embedding) {
  check(h, std::nullopt, gates, embedding, std::nullopt);
  const auto gate = torch::sigmoid(torch::matmul(torch::cat(h, -1), gates.t()));  // [T, B, L]
  torch::Tensor sum;
  for (size_t l = 0; l < h.size(); ++l) {
    const auto term = gate.narrow(-1, static_cast<int64_t>(l), 1) * torch::matmul(h[l], embedding[l].t());
    sum = l == 0 ? term : sum + term;
  }
  return torch::relu(sum);
}

namespace {

/// Above autograd: calls the backend's kernels, or the composite where there are none.
at::Tensor entry(at::TensorList h, const std::optional<at::Tensor>& state_index, const at::Tensor& gates,
                 at::TensorList embedding, std::optional<at::ScalarType> product_dtype) {
  check(h, state_index, gates, embedding, product_dtype);
  const auto type = h[0].scalar_type();
  static const auto op = c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::_gated_output_forward", "");
  if (!has_kernels(op, h[0]) || (type != at::kFloat && type != at::kDouble)) {
    return reference_gated_output(h.vec(), gates, embedding.vec());
  }
  for (const auto& tensors : {h, at::TensorList(gates), embedding}) {
    refuse_forward_derivative("gated_output", tensors, "; hmrnn::reference_gated_output has them");
  }
  std::vector<at::Tensor> states, weights;
  for (const auto& x : h) states.push_back(x.contiguous());
  for (const auto& x : embedding) weights.push_back(x.contiguous());
  const auto index = state_index ? state_index->contiguous() : at::Tensor();
  return gated_output_autograd(states, index, gates.contiguous(), weights, product_dtype);
}

std::tuple<at::Tensor, at::Tensor> forward_cpu(at::TensorList h, const std::optional<at::Tensor>& state_index,
                                               const at::Tensor& gates, at::TensorList embedding,
                                               std::optional<at::ScalarType> product_dtype) {
  const auto tape = cpu::gated_output_forward(h.vec(), state_index.value_or(at::Tensor()), gates, embedding.vec(),
                                              product_dtype == at::kBFloat16);
  std::vector<at::Tensor> saved{tape.gate};
  for (const auto* list : {&tape.projected, &tape.row, &tape.birth})
    saved.insert(saved.end(), list->begin(), list->end());
  return {tape.output, pack_saved(std::move(saved), at::kCPU)};
}

std::vector<at::Tensor> backward_cpu(at::TensorList h, const at::Tensor& gates, at::TensorList embedding,
                                     const at::Tensor& output, const at::Tensor& packed, const at::Tensor& grad,
                                     std::optional<at::ScalarType> product_dtype) {
  const auto& saved = unpack_saved(packed);
  cpu::GatedOutputTape tape;
  tape.output = output;
  tape.gate = saved[0];
  auto next = saved.begin() + 1;
  for (auto* list : {&tape.projected, &tape.row, &tape.birth}) {
    list->assign(next, next + h.size());
    next += h.size();
  }
  auto g = cpu::gated_output_backward(h.vec(), gates, embedding.vec(), tape, grad, product_dtype == at::kBFloat16);
  auto out = std::move(g.h);
  out.push_back(g.gates);
  out.insert(out.end(), g.embedding.begin(), g.embedding.end());
  return out;
}

// For the meta device, and for symbolic shapes (torch.compile, torch.export).
std::tuple<at::Tensor, at::Tensor> forward_meta(at::TensorList h, const std::optional<at::Tensor>&, const at::Tensor&,
                                                at::TensorList embedding, std::optional<at::ScalarType>) {
  const auto options = h[0].options().requires_grad(false);
  return {at::empty_symint({h[0].sym_size(0), h[0].sym_size(1), embedding[0].sym_size(0)}, options),
          nothing_saved(options)};
}

std::vector<at::Tensor> backward_meta(at::TensorList h, const at::Tensor& gates, at::TensorList embedding,
                                      const at::Tensor&, const at::Tensor&, const at::Tensor&,
                                      std::optional<at::ScalarType>) {
  std::vector<at::Tensor> out;
  const auto add = [&](const at::Tensor& x) {
    out.push_back(at::empty_symint(x.sym_sizes(), x.options().requires_grad(false)));
  };
  for (const auto& x : h) add(x);
  add(gates);
  for (const auto& x : embedding) add(x);
  return out;
}

at::Tensor call(at::TensorList h, const std::optional<at::Tensor>& state_index, const at::Tensor& gates,
                at::TensorList embedding, std::optional<at::ScalarType> product_dtype) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("hmrnn::gated_output", "").typed<GatedOutputOperator>();
  return op.call(h, state_index, gates, embedding, product_dtype);
}

/// Under torch.autocast to bfloat16: products of bfloat16 operands, sums in float32.
at::Tensor autocast(at::TensorList h, const std::optional<at::Tensor>& state_index, const at::Tensor& gates,
                    at::TensorList embedding, std::optional<at::ScalarType> product_dtype) {
  const auto device = gates.device().type();
  const c10::impl::ExcludeDispatchKeyGuard once(at::autocast::get_autocast_dispatch_key_from_device_type(device));
  auto states = h.vec(), weights = embedding.vec();
  auto gate_weights = gates;
  for (auto& x : states) to_full_precision(x);
  for (auto& x : weights) to_full_precision(x);
  to_full_precision(gate_weights);
  if (!product_dtype) product_dtype = autocast_product_dtype(gate_weights);
  return call(states, state_index, gate_weights, weights, product_dtype);
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(hmrnn, m) {
  m.def(
      "gated_output(Tensor[] h, Tensor? state_index, Tensor gates, Tensor[] embedding, "
      "ScalarType? product_dtype=None) -> Tensor");
  m.def(
      "_gated_output_forward(Tensor[] h, Tensor? state_index, Tensor gates, Tensor[] embedding, "
      "ScalarType? product_dtype) -> (Tensor output, Tensor saved)");
  m.def(
      "_gated_output_backward(Tensor[] h, Tensor gates, Tensor[] embedding, Tensor output, Tensor saved, Tensor grad, "
      "ScalarType? product_dtype) -> Tensor[]");
}
TORCH_LIBRARY_IMPL(hmrnn, CompositeImplicitAutograd, m) { m.impl("gated_output", entry); }
TORCH_LIBRARY_IMPL(hmrnn, CPU, m) {
  m.impl("_gated_output_forward", forward_cpu);
  m.impl("_gated_output_backward", backward_cpu);
}
TORCH_LIBRARY_IMPL(hmrnn, Meta, m) {
  m.impl("_gated_output_forward", forward_meta);
  m.impl("_gated_output_backward", backward_meta);
}
TORCH_LIBRARY_IMPL(hmrnn, AutocastCPU, m) { m.impl("gated_output", autocast); }
TORCH_LIBRARY_IMPL(hmrnn, AutocastCUDA, m) { m.impl("gated_output", autocast); }

torch::Tensor gated_output(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index,
                           const torch::Tensor& gates, const std::vector<torch::Tensor>& embedding,
                           std::optional<torch::ScalarType> product_dtype) {
  return call(h, state_index.defined() ? std::make_optional(state_index) : std::nullopt, gates, embedding,
              product_dtype);
}

}  // namespace hmrnn
