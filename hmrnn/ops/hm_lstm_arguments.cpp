#include "hmrnn/ops/hm_lstm_arguments.h"

#include <ATen/Dispatch.h>

#include <algorithm>
#include <cstdint>
#include <limits>

#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

void check_tensor(const char* name, int64_t layer, const torch::Tensor& x, c10::SymIntArrayRef shape,
                  const torch::Tensor& like) {
  const auto place = layer < 0 ? std::string() : "[" + std::to_string(layer) + "]";
  TORCH_CHECK(x.defined(), "hm_lstm: ", name, place, " is missing, expected shape ", shape);
  TORCH_SYM_CHECK(c10::sym_equals(x.sym_sizes(), shape), "hm_lstm: ", name, place, " must have shape ", shape, ", got ",
                  x.sym_sizes());
  TORCH_CHECK(x.scalar_type() == like.scalar_type(), "hm_lstm: ", name, place, " must be ", like.scalar_type(),
              " like the input, got ", x.scalar_type());
  TORCH_CHECK(x.device() == like.device(), "hm_lstm: ", name, place, " must be on ", like.device(),
              " like the input, got ", x.device());
}

/// The states of a layer, B at the start and at most one for each step of each row, are numbered by int32. (A symbolic
/// shape is checked when the window is computed.)
void check_int32(const HMLSTMArguments& a) {
  constexpr int64_t largest = std::numeric_limits<int32_t>::max();
  const auto T = a.sym_steps().maybe_as_int(), B = a.sym_batch().maybe_as_int();
  TORCH_CHECK(!T || !B || *B <= largest / (*T + 1), "hm_lstm: (T + 1) · B must be below 2^31, got T = ", *T,
              ", B = ", *B);
  const auto rows = a.window.input.sym_size(0).maybe_as_int();
  TORCH_CHECK(!a.indexed() || !rows || *rows <= largest, "hm_lstm: a table must have fewer than 2^31 rows, got ",
              *rows);
}

/// A layer without units would look like none. (A symbolic size is checked when the window is computed.)
void check_not_empty(const HMLSTMArguments& a) {
  const auto features = a.window.input.sym_size(-1).maybe_as_int();
  TORCH_CHECK(!features || *features >= 1, "hm_lstm: the input needs at least one feature, got shape ",
              a.window.input.sym_sizes());
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    const auto units = a.sym_units(l).maybe_as_int();
    TORCH_CHECK(!units || *units >= 1, "hm_lstm: layer ", l, " needs at least one unit, got recurrent[", l,
                "] of shape ", a.layers[l].recurrent.sym_sizes());
  }
}

void check_dropout(const HMLSTMArguments& a) {
  const double p = a.dropout.recurrent;
  TORCH_CHECK(p >= 0 && p < 1, "hm_lstm: recurrent_dropout must be at least 0 and below 1, got ", p);
  if (p > 0) {
    const auto& seed = a.dropout.seed;
    TORCH_CHECK(seed.defined(), "hm_lstm: recurrent_dropout needs dropout_seed");
    TORCH_CHECK(seed.dim() == 0 && seed.scalar_type() == torch::kInt64,
                "hm_lstm: dropout_seed must be int64 of no dimension, got ", seed.scalar_type(), " ", seed.sym_sizes());
    TORCH_CHECK(seed.device() == a.window.input.device(), "hm_lstm: dropout_seed must be on ", a.window.input.device(),
                " like the input, got ", seed.device());
  }
  if (!a.dropout.locked_mask.defined()) return;
  c10::SymInt units = 0;
  for (int64_t l = 0; l < a.num_layers(); ++l) units += a.sym_units(l);
  check_tensor("locked_mask", -1, a.dropout.locked_mask, {a.sym_batch(), units}, a.window.input);
}

}  // namespace

void check_arguments(const HMLSTMArguments& a) {
  const auto L = a.num_layers();
  const auto& w = a.window;
  const auto& input = w.input;
  TORCH_CHECK(L >= 1, "hm_lstm: at least one layer is needed");
  const auto type = input.scalar_type();
  TORCH_CHECK(type == torch::kFloat32 || type == torch::kFloat64, "hm_lstm: input must be float32 or float64, got ",
              type);
  check_count("h0", w.h0.size(), L);
  check_count("c0", w.c0.size(), L);
  for (int64_t l = 0; l < L; ++l) {
    const bool top = a.layers[l].is_top();
    TORCH_CHECK(top == a.top(l), "hm_lstm: layer ", l,
                top ? " needs top_down, only the top layer has none" : " is the top and must have no top_down");
  }
  if (a.indexed()) {
    TORCH_CHECK(input.dim() == 2, "hm_lstm: with index, input must be a table [V, e], got ", input.sym_sizes());
    TORCH_CHECK(w.index.dim() == 2 && w.index.scalar_type() == torch::kInt64,
                "hm_lstm: index must be int64 [T, B], got ", w.index.scalar_type(), " ", w.index.sym_sizes());
    TORCH_CHECK(w.index.device() == input.device(), "hm_lstm: index must be on ", input.device(), ", got ",
                w.index.device());
  } else {
    TORCH_CHECK(input.dim() == 3, "hm_lstm: input must have shape [T, B, e], got ", input.sym_sizes());
  }
  const auto T = a.sym_steps(), B = a.sym_batch();
  TORCH_SYM_CHECK(T.sym_ge(1).sym_and(B.sym_ge(1)),
                  "hm_lstm: a window needs at least one step and one row, got T = ", T, ", B = ", B);
  check_int32(a);
  int64_t norms = 0;  // of the layers before: an error names an entry by its index in the schema's lists
  for (int64_t l = 0; l < L; ++l) {
    const auto& y = a.layers[l];
    TORCH_CHECK(y.recurrent.dim() == 2, "hm_lstm: recurrent[", l, "] must have shape [R, d], got ",
                y.recurrent.sym_sizes());
    const auto d = a.sym_units(l), R = a.top(l) ? d * 4 : d * 4 + 1;
    check_tensor("recurrent", l, y.recurrent, {R, d}, input);
    check_tensor("bottom_up", l, y.bottom_up, {R, l == 0 ? input.sym_size(-1) : a.sym_units(l - 1)}, input);
    if (!a.top(l)) check_tensor("top_down", l, y.top_down, {R, a.sym_units(l + 1)}, input);
    check_tensor("bias", l, y.bias, {R}, input);
    check_tensor("h0", l, w.h0[l], {B, d}, input);
    check_tensor("c0", l, w.c0[l], {B, d}, input);
    if (!a.layer_norm()) continue;
    each_norm(y, a.top(l), [&](const NormParameters& norm) {
      const auto size = &norm == &y.cell_norm ? d : d * 4;
      check_tensor("norm_weight", norms, norm.weight, {size}, input);
      check_tensor("norm_bias", norms, norm.bias, {size}, input);
      ++norms;
    });
  }
  check_not_empty(a);
  const c10::SymInt boundaries = L - 1;
  check_tensor("z0", -1, w.z0, {B, boundaries}, input);
  const auto& rule = a.rule;
  TORCH_CHECK(rule.slope.defined() && rule.slope.dim() == 0, "hm_lstm: slope must be a 0-d tensor");
  if (rule.given.defined()) check_tensor("boundaries", -1, rule.given, {T, B, boundaries}, input);
  if (rule.noise.defined()) check_tensor("noise", -1, rule.noise, {T, B, boundaries}, input);
  if (w.lengths.defined()) {
    TORCH_CHECK(w.lengths.dim() == 1 && w.lengths.scalar_type() == torch::kInt64 && w.lengths.sym_size(0) == B,
                "hm_lstm: lengths must be int64 [", B, "], got ", w.lengths.scalar_type(), " ", w.lengths.sym_sizes());
  }
  TORCH_CHECK(
      !a.product_dtype || *a.product_dtype == type || (*a.product_dtype == torch::kBFloat16 && type == torch::kFloat32),
      "hm_lstm: product_dtype must be the input's dtype, or bfloat16 with a float32 input, got ", *a.product_dtype);
  TORCH_CHECK(a.eps > 0, "hm_lstm: eps must be positive, got ", a.eps);
  check_dropout(a);
}

HMLSTMArguments contiguous(HMLSTMArguments a) {
  each_differentiable(a, [](torch::Tensor& x) { x = x.contiguous(); });
  for (auto* x : constants(a)) {
    if (x->defined()) *x = x->detach().contiguous();
  }
  return a;
}

void check_index(const HMLSTMArguments& a) {
  const auto& index = a.window.index;
  if (!index.defined()) return;
  const auto rows = a.window.input.size(0);
  const auto* row = index.const_data_ptr<int64_t>();
  const auto [least, largest] = std::minmax_element(row, row + index.numel());
  TORCH_CHECK(*least >= 0 && *largest < rows, "hm_lstm: index must lie in [0, ", rows, ")");
}

void check_hard_boundaries(const HMLSTMArguments& a) {
  const auto check = [](const char* name, const torch::Tensor& z) {
    AT_DISPATCH_FLOATING_TYPES(z.scalar_type(), "hm_lstm", [&] {
      const auto* value = z.const_data_ptr<scalar_t>();
      for (int64_t i = 0; i < z.numel(); ++i) {
        TORCH_CHECK(value[i] == 0 || value[i] == 1, "hm_lstm: ", name,
                    " must be 0 or 1 everywhere (only soft boundaries lie in between), got ", value[i]);
      }
    });
  };
  check("z0", a.window.z0);
  if (a.rule.given.defined()) check("boundaries", a.rule.given);
}

}  // namespace hmrnn
