#include "hmrnn/ops/hm_lstm_arguments.h"

#include <ATen/Dispatch.h>

#include <cstdint>
#include <limits>

#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn {

namespace {

void check_tensor(const char* name, int64_t layer, const torch::Tensor& x, torch::IntArrayRef shape,
                  const torch::Tensor& like) {
  const auto place = layer < 0 ? std::string() : "[" + std::to_string(layer) + "]";
  TORCH_CHECK(x.defined(), "hm_lstm: ", name, place, " is missing, expected shape ", shape);
  TORCH_CHECK(x.sizes() == shape, "hm_lstm: ", name, place, " must have shape ", shape, ", got ", x.sizes());
  TORCH_CHECK(x.scalar_type() == like.scalar_type(), "hm_lstm: ", name, place, " must be ", like.scalar_type(),
              " like the input, got ", x.scalar_type());
  TORCH_CHECK(x.device() == like.device(), "hm_lstm: ", name, place, " must be on ", like.device(),
              " like the input, got ", x.device());
}

void check_dropout(const HMLSTMArguments& a) {
  const double p = a.recurrent_dropout;
  TORCH_CHECK(p >= 0 && p < 1, "hm_lstm: recurrent_dropout must be at least 0 and below 1, got ", p);
  if (p > 0) {
    TORCH_CHECK(a.dropout_seed, "hm_lstm: recurrent_dropout needs dropout_seed");
    const auto& seed = *a.dropout_seed;
    TORCH_CHECK(seed.dim() == 0 && seed.scalar_type() == torch::kInt64,
                "hm_lstm: dropout_seed must be int64 of no dimension, got ", seed.scalar_type(), " ", seed.sizes());
    TORCH_CHECK(seed.device() == a.input.device(), "hm_lstm: dropout_seed must be on ", a.input.device(),
                " like the input, got ", seed.device());
  }
  if (!a.locked_mask) return;
  int64_t units = 0;
  for (int64_t l = 0; l < a.layers(); ++l) units += a.units(l);
  check_tensor("locked_mask", -1, *a.locked_mask, {a.batch(), units}, a.input);
}

}  // namespace

void check_arguments(const HMLSTMArguments& a) {
  const auto L = a.layers();
  TORCH_CHECK(L >= 1, "hm_lstm: at least one layer is needed");
  const auto type = a.input.scalar_type();
  TORCH_CHECK(type == torch::kFloat32 || type == torch::kFloat64, "hm_lstm: input must be float32 or float64, got ",
              type);
  const auto count = [&](const char* name, size_t got, int64_t expected) {
    TORCH_CHECK(static_cast<int64_t>(got) == expected, "hm_lstm: ", name, " must have ", expected, " entries, got ",
                got);
  };
  count("h0", a.h0.size(), L);
  count("c0", a.c0.size(), L);
  count("bottom_up", a.bottom_up.size(), L);
  count("top_down", a.top_down.size(), L - 1);
  count("bias", a.bias.size(), L);
  if (!a.norm_weight.empty()) count("norm_weight", a.norm_weight.size(), 4 * L - 1);
  count("norm_bias", a.norm_bias.size(), static_cast<int64_t>(a.norm_weight.size()));

  if (a.index) {
    TORCH_CHECK(a.input.dim() == 2, "hm_lstm: with index, input must be a table [V, e], got ", a.input.sizes());
    TORCH_CHECK(a.index->dim() == 2 && a.index->scalar_type() == torch::kInt64,
                "hm_lstm: index must be int64 [T, B], got ", a.index->scalar_type(), " ", a.index->sizes());
    TORCH_CHECK(a.index->device() == a.input.device(), "hm_lstm: index must be on ", a.input.device(), ", got ",
                a.index->device());
  } else {
    TORCH_CHECK(a.input.dim() == 3, "hm_lstm: input must have shape [T, B, e], got ", a.input.sizes());
  }
  const auto T = a.steps(), B = a.batch();
  TORCH_CHECK(T >= 1 && B >= 1, "hm_lstm: a window needs at least one step and one row, got T = ", T, ", B = ", B);
  // The states of a layer, B at the start and one for each step of each row at most, are numbered by int32.
  TORCH_CHECK(B <= std::numeric_limits<int32_t>::max() / (T + 1),
              "hm_lstm: (T + 1) · B must be below 2^31, got T = ", T, ", B = ", B);
  TORCH_CHECK(!a.index || a.input.size(0) <= std::numeric_limits<int32_t>::max(),
              "hm_lstm: a table must have fewer than 2^31 rows, got ", a.input.size(0));
  for (int64_t l = 0; l < L; ++l) {
    TORCH_CHECK(a.recurrent[l].dim() == 2, "hm_lstm: recurrent[", l, "] must have shape [R, d], got ",
                a.recurrent[l].sizes());
    const auto d = a.units(l), R = l + 1 < L ? 4 * d + 1 : 4 * d;
    check_tensor("recurrent", l, a.recurrent[l], {R, d}, a.input);
    check_tensor("bottom_up", l, a.bottom_up[l], {R, l == 0 ? a.input.size(-1) : a.units(l - 1)}, a.input);
    if (l + 1 < L) check_tensor("top_down", l, a.top_down[l], {R, a.units(l + 1)}, a.input);
    check_tensor("bias", l, a.bias[l], {R}, a.input);
    check_tensor("h0", l, a.h0[l], {B, d}, a.input);
    check_tensor("c0", l, a.c0[l], {B, d}, a.input);
    if (!a.layer_norm()) continue;
    for (int norm = 0; norm < 4; ++norm) {
      if (norm == HMLSTMArguments::kTopDown && l + 1 == L) continue;
      const auto i = a.norm_index(l, static_cast<HMLSTMArguments::Norm>(norm));
      const auto size = norm == HMLSTMArguments::kCell ? d : 4 * d;
      check_tensor("norm_weight", i, a.norm_weight[i], {size}, a.input);
      check_tensor("norm_bias", i, a.norm_bias[i], {size}, a.input);
    }
  }
  check_tensor("z0", -1, a.z0, {B, L - 1}, a.input);
  TORCH_CHECK(a.slope.defined() && a.slope.dim() == 0, "hm_lstm: slope must be a 0-d tensor");
  if (a.boundaries) check_tensor("boundaries", -1, *a.boundaries, {T, B, L - 1}, a.input);
  if (a.noise) check_tensor("noise", -1, *a.noise, {T, B, L - 1}, a.input);
  if (a.lengths) {
    TORCH_CHECK(a.lengths->dim() == 1 && a.lengths->size(0) == B && a.lengths->scalar_type() == torch::kInt64,
                "hm_lstm: lengths must be int64 [", B, "], got ", a.lengths->scalar_type(), " ", a.lengths->sizes());
  }
  TORCH_CHECK(
      !a.product_dtype || *a.product_dtype == type || (*a.product_dtype == torch::kBFloat16 && type == torch::kFloat32),
      "hm_lstm: product_dtype must be the input's dtype, or bfloat16 with a float32 input, got ", *a.product_dtype);
  TORCH_CHECK(a.eps > 0, "hm_lstm: eps must be positive, got ", a.eps);
  check_dropout(a);
}

HMLSTMArguments contiguous(HMLSTMArguments a) {
  auto list = differentiable(a);
  for (auto& x : list) {
    if (x.defined()) x = x.contiguous();
  }
  set_differentiable(a, list);
  for (auto* x : {&a.index, &a.boundaries, &a.noise, &a.lengths, &a.locked_mask}) {
    if (*x) *x = (*x)->detach().contiguous();
  }
  return a;
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
  check("z0", a.z0);
  if (a.boundaries) check("boundaries", *a.boundaries);
}

std::vector<LayerParameters> layer_parameters(const HMLSTMArguments& a) {
  std::vector<LayerParameters> out;
  for (int64_t l = 0; l < a.layers(); ++l) {
    LayerParameters p;
    p.recurrent = a.recurrent[l];
    p.bottom_up = a.bottom_up[l];
    if (l + 1 < a.layers()) p.top_down = a.top_down[l];
    p.bias = a.bias[l];
    if (a.layer_norm()) {
      const auto norm = [&](HMLSTMArguments::Norm n) {
        const auto i = a.norm_index(l, n);
        return NormParameters{a.norm_weight[i], a.norm_bias[i]};
      };
      p.recurrent_norm = norm(HMLSTMArguments::kRecurrent);
      p.bottom_up_norm = norm(HMLSTMArguments::kBottomUp);
      if (l + 1 < a.layers()) p.top_down_norm = norm(HMLSTMArguments::kTopDown);
      p.cell_norm = norm(HMLSTMArguments::kCell);
    }
    out.push_back(std::move(p));
  }
  return out;
}

HMLSTMArguments make_arguments(const std::vector<LayerParameters>& layers, const WindowInput& window,
                               const BoundaryRule& rule, std::optional<torch::ScalarType> product_dtype, double eps,
                               const WindowDropout& dropout) {
  HMLSTMArguments a;
  const auto optional = [](const torch::Tensor& x) { return x.defined() ? std::make_optional(x) : std::nullopt; };
  a.input = window.input;
  a.index = optional(window.index);
  a.h0 = window.h0;
  a.c0 = window.c0;
  a.z0 = window.z0;
  const bool norm = !layers.empty() && layers[0].layer_norm();
  for (size_t l = 0; l < layers.size(); ++l) {
    const auto& p = layers[l];
    TORCH_CHECK(p.is_top() == (l + 1 == layers.size()), "hm_lstm: layer ", l,
                p.is_top() ? " needs top_down, only the top layer has none" : " is the top and must have no top_down");
    a.recurrent.push_back(p.recurrent);
    a.bottom_up.push_back(p.bottom_up);
    if (!p.is_top()) a.top_down.push_back(p.top_down);
    a.bias.push_back(p.bias);
    if (!norm) continue;
    for (const auto* n : {&p.recurrent_norm, &p.bottom_up_norm, &p.top_down_norm, &p.cell_norm}) {
      if (n == &p.top_down_norm && p.is_top()) continue;
      a.norm_weight.push_back(n->weight);
      a.norm_bias.push_back(n->bias);
    }
  }
  a.slope = rule.slope;
  a.boundaries = optional(rule.given);
  a.noise = optional(rule.noise);
  a.lengths = optional(window.lengths);
  a.soft = rule.mode == BoundaryMode::Soft && !rule.given.defined();
  a.boundary_gradient = rule.boundary_gradient;
  a.product_dtype = product_dtype;
  a.eps = eps;
  a.recurrent_dropout = dropout.recurrent;
  a.dropout_seed = optional(dropout.seed);
  a.locked_mask = optional(dropout.locked_mask);
  return a;
}

}  // namespace hmrnn
