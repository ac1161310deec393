#include "hmrnn/ops/reference.h"

#include "hmrnn/ops/recurrent_dropout.h"

namespace hmrnn {

namespace {

/// LN(M (mask ⊙ x)) for the 4d gate rows, then the raw product of the boundary row with x itself, [B, R].
torch::Tensor project(const torch::Tensor& x, const torch::Tensor& weight, const NormParameters& norm,
                      int64_t gate_rows, double eps, const torch::Tensor& mask = {}) {
  const auto s = torch::matmul(x, weight.t());
  auto gates = s.narrow(1, 0, gate_rows);
  if (mask.defined()) gates = torch::matmul(mask * x, weight.narrow(0, 0, gate_rows).t());
  if (norm.weight.defined()) gates = torch::layer_norm(gates, {gate_rows}, norm.weight, norm.bias, eps);
  if (static_size(s, 1) == gate_rows) return gates;
  return norm.weight.defined() || mask.defined() ? torch::cat({gates, s.narrow(1, gate_rows, 1)}, 1) : s;
}

/// The columns of `mask` by layer; undefined without a mask.
std::vector<torch::Tensor> split_mask(const torch::Tensor& mask, const std::vector<LayerParameters>& layers) {
  std::vector<torch::Tensor> out(layers.size());
  int64_t column = 0;
  for (size_t l = 0; mask.defined() && l < layers.size(); column += layers[l++].units()) {
    out[l] = mask.narrow(1, column, layers[l].units());
  }
  return out;
}

}  // namespace

std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> reference_step(
    const LayerParameters& layer, const torch::Tensor& below, const torch::Tensor& z_below, const torch::Tensor& h,
    const torch::Tensor& c, const torch::Tensor& z, const torch::Tensor& above, const BoundaryRule& rule, double eps,
    const StepDropout& dropout) {
  const auto d = layer.units();
  const auto zb = z_below.unsqueeze(1);
  auto s = project(h, layer.recurrent, layer.recurrent_norm, 4 * d, eps) +
           zb * project(below, layer.bottom_up, layer.bottom_up_norm, 4 * d, eps, dropout.below) + layer.bias;
  const auto zp = layer.is_top() ? torch::zeros_like(zb) : z.unsqueeze(1);
  if (!layer.is_top()) s = s + zp * project(above, layer.top_down, layer.top_down_norm, 4 * d, eps, dropout.above);

  const auto f = torch::sigmoid(s.narrow(1, 0, d));
  const auto i = torch::sigmoid(s.narrow(1, d, d));
  const auto o = torch::sigmoid(s.narrow(1, 2 * d, d));
  auto g = torch::tanh(s.narrow(1, 3 * d, d));
  if (dropout.written.defined()) g = g * dropout.written;

  // FLUSH, COPY and UPDATE as one polynomial in the two z: `where` would drop dL/dz through the choice of operation.
  const auto copy = (1 - zp) * (1 - zb);
  const auto c_new = zp * (i * g) + copy * c + (1 - zp) * zb * (f * c + i * g);
  auto cell = c_new;
  if (layer.layer_norm()) cell = torch::layer_norm(cell, {d}, layer.cell_norm.weight, layer.cell_norm.bias, eps);
  const auto h_new = copy * h + (1 - copy) * (o * torch::tanh(cell));
  if (layer.is_top()) return {h_new, c_new, torch::Tensor()};

  const auto pre = s.select(1, 4 * d);
  torch::Tensor z_new;
  if (!rule.given.defined()) {
    z_new = boundary(pre, rule.slope, rule.mode, rule.noise.defined() ? std::make_optional(rule.noise) : std::nullopt);
  } else if (rule.boundary_gradient) {
    z_new = straight_through(rule.given, pre, rule.slope.to(pre.scalar_type()));
  } else {
    z_new = rule.given.detach().to(pre.scalar_type());
  }
  return {h_new, c_new, z_new};
}

WindowResult reference_window(const std::vector<LayerParameters>& layers, const torch::Tensor& input,
                              const std::vector<torch::Tensor>& h0, const std::vector<torch::Tensor>& c0,
                              const torch::Tensor& z0, const BoundaryRule& rule, const torch::Tensor& lengths,
                              double eps, const WindowDropout& dropout) {
  const auto steps = static_size(input, 0), batch = static_size(input, 1);
  const auto L = static_cast<int64_t>(layers.size());
  auto h = h0, c = c0;
  std::vector<torch::Tensor> z(L);
  for (int64_t l = 0; l + 1 < L; ++l) z[l] = z0.select(1, l);
  const auto ones = torch::ones({batch}, input.options().requires_grad(false));
  const auto masks = split_mask(dropout.locked_mask, layers);
  // Number of each row's current state: the one that the next active step ends.
  std::vector<torch::Tensor> states(L, torch::zeros({batch}, ones.options().dtype(torch::kInt64)));

  std::vector<std::vector<torch::Tensor>> hs(L);
  std::vector<torch::Tensor> zs;
  for (int64_t t = 0; t < steps; ++t) {
    auto below = input[t];
    auto z_below = ones;
    const auto live = lengths.defined() ? lengths.gt(t) : torch::Tensor();
    for (int64_t l = 0; l < L; ++l) {
      BoundaryRule step_rule = rule;
      if (l + 1 < L && rule.noise.defined()) step_rule.noise = rule.noise[t].select(1, l);
      if (l + 1 < L && rule.given.defined()) step_rule.given = rule.given[t].select(1, l);
      StepDropout step_dropout;
      if (l > 0) step_dropout.below = masks[l - 1];
      if (l + 1 < L) step_dropout.above = masks[l + 1];
      if (dropout.recurrent > 0) {
        step_dropout.written =
            recurrent_dropout_factors(dropout.seed, l, states[l], layers[l].units(), dropout.recurrent, ones.options());
        auto active = z_below.ne(0);
        if (l + 1 < L) active = active.logical_or(z[l].ne(0));
        if (live.defined()) active = active.logical_and(live);
        states[l] = states[l] + active.to(torch::kInt64);
      }
      // layer l+1 has not stepped yet: h[l+1] is its state of t-1
      auto [hn, cn, zn] = reference_step(layers[l], below, z_below, h[l], c[l], z[l],
                                         l + 1 < L ? h[l + 1] : torch::Tensor(), step_rule, eps, step_dropout);
      if (live.defined()) {
        const auto column = live.unsqueeze(1);
        hn = torch::where(column, hn, h[l]);
        cn = torch::where(column, cn, c[l]);
        if (zn.defined()) zn = torch::where(live, zn, z[l]);
      }
      h[l] = hn;
      c[l] = cn;
      z[l] = zn;
      below = hn;
      z_below = zn;
      hs[l].push_back(hn);
    }
    if (L > 1) zs.push_back(torch::stack(std::vector<torch::Tensor>(z.begin(), z.end() - 1), 1));
  }

  WindowResult result;
  for (auto& layer : hs) result.h.push_back(torch::stack(layer));
  result.c_n = c;
  result.z = L > 1 ? torch::stack(zs) : torch::zeros({steps, batch, 0}, input.options());
  result.state_index = count_states(result.z.detach(), z0.detach(), lengths);
  return result;
}

torch::Tensor count_states(const torch::Tensor& z, const torch::Tensor& z0, const torch::Tensor& lengths) {
  const auto T = static_size(z, 0), B = static_size(z, 1);
  const auto ones = torch::ones({T, B, 1}, z.options().dtype(torch::kBool));
  const auto zeros = torch::zeros({T, B, 1}, ones.options());
  const auto below = torch::cat({ones, z.ne(0)}, 2);  // [T, B, L]
  const auto own =
      torch::cat({z0.ne(0).unsqueeze(0), z.narrow(0, 0, std::max<int64_t>(T - 1, 0)).ne(0)}, 0).narrow(0, 0, T);
  auto active = below.logical_or(torch::cat({own, zeros}, 2));
  if (lengths.defined()) {
    const auto live = torch::arange(T, lengths.options()).unsqueeze(1).lt(lengths.unsqueeze(0));  // [T, B]
    active = active.logical_and(live.unsqueeze(2));
  }
  return active.permute({2, 0, 1}).to(torch::kInt32).cumsum(1, torch::kInt32).contiguous();
}

}  // namespace hmrnn
