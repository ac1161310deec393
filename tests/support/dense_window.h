// A second, independent implementation of the paper's equations: every product at every step, layer norm written out,
// the three operations as three weights, and straight-through gradients as value + hardσ − detached hardσ, without an
// autograd::Function.
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

#include "hmrnn/ops/recurrent_dropout.h"
#include "support/random_problem.h"

namespace hmrnn::test {

/// The value of the boundary at (t, l), given hardσ(s) [B]; its graph is ignored.
using BoundaryValue = std::function<torch::Tensor(int64_t t, int64_t l, const torch::Tensor& p)>;

inline torch::Tensor written_out_norm(const torch::Tensor& x, const NormParameters& norm) {
  if (!norm.weight.defined()) return x;
  const auto centred = x - x.mean(1, true);
  return centred / torch::sqrt(centred.square().mean(1, true) + 1e-5) * norm.weight + norm.bias;
}

/// x [n, k] times the transposed gate rows of a weight matrix [4d, k].
using GateProduct = std::function<torch::Tensor(const torch::Tensor& x, const torch::Tensor& weight)>;

inline torch::Tensor plain_product(const torch::Tensor& x, const torch::Tensor& weight) {
  return torch::einsum("bk,rk->br", {x, weight});
}

inline WindowResult dense_window(const Problem& p, const BoundaryValue& value, double slope,
                                 const GateProduct& product = plain_product) {
  const auto& w = p.window;
  const bool table = w.index.defined();
  const auto input = table ? w.input.index({w.index}) : w.input;
  const auto T = input.size(0), B = input.size(1), L = p.num_layers();
  std::vector<torch::Tensor> h = w.h0, c = w.c0, z;
  for (int64_t l = 0; l + 1 < L; ++l) z.push_back(w.z0.select(1, l));
  std::vector<std::vector<torch::Tensor>> hs(L);
  std::vector<torch::Tensor> zs;
  // Regularisers: what the layers above and below read, and the number of states of each row so far.
  std::vector<torch::Tensor> mask(L), states(L);
  for (int64_t l = 0, column = 0; l < L; column += h[l++].size(1)) {
    mask[l] = p.dropout.locked_mask.defined() ? p.dropout.locked_mask.narrow(1, column, h[l].size(1))
                                              : torch::ones({B, h[l].size(1)}, p.like);
    states[l] = torch::zeros({B}, torch::kInt32);
  }
  // For a table, the first layer's product and norm are computed once per row of the table.
  const auto& first = p.layers[0];
  const auto table_rows =
      table ? written_out_norm(product(w.input, first.bottom_up.slice(0, 0, 4 * h[0].size(1))), first.bottom_up_norm)
            : torch::Tensor();
  for (int64_t t = 0; t < T; ++t) {
    const auto h_before = h;  // the top-down term reads the layer above at t-1
    for (int64_t l = 0; l < L; ++l) {
      const auto& layer = p.layers[l];
      const auto d = h[l].size(1);
      const bool top = l + 1 == L;
      const auto below = l == 0 ? input[t] : h[l - 1];
      const auto zb = (l == 0 ? torch::ones({B}, below.options()) : z[l - 1]).reshape({B, 1});
      const auto zp = (top ? torch::zeros({B}, below.options()) : z[l]).reshape({B, 1});
      const auto rows = [&](const torch::Tensor& x, const torch::Tensor& m, const NormParameters& norm) {
        return written_out_norm(product(x, m.slice(0, 0, 4 * d)), norm);
      };
      const auto shown_below = l == 0 ? below : mask[l - 1] * below;
      const auto bottom_up =
          l == 0 && table ? table_rows.index({w.index[t]}) : rows(shown_below, layer.bottom_up, layer.bottom_up_norm);
      auto s =
          rows(h_before[l], layer.recurrent, layer.recurrent_norm) + zb * bottom_up + layer.bias.slice(0, 0, 4 * d);
      if (!top) s = s + zp * rows(mask[l + 1] * h_before[l + 1], layer.top_down, layer.top_down_norm);
      const auto parts = s.chunk(4, 1);
      const auto f = 1 / (1 + torch::exp(-parts[0])), i = 1 / (1 + torch::exp(-parts[1])),
                 o = 1 / (1 + torch::exp(-parts[2]));
      auto g = torch::tanh(parts[3]);
      if (p.dropout.recurrent > 0) {
        g = g * recurrent_dropout_factors(p.dropout.seed, l, states[l], d, p.dropout.recurrent, p.like);
        states[l] += ((zb + zp).squeeze(1) > 0).to(torch::kInt32);
      }
      torch::Tensor z_new;
      if (!top) {
        const auto row = [&](const torch::Tensor& x, const torch::Tensor& m) { return (x * m[4 * d]).sum(1); };
        const auto pre = row(h_before[l], layer.recurrent) + z[l] * row(h_before[l + 1], layer.top_down) +
                         zb.squeeze(1) * row(below, layer.bottom_up) + layer.bias[4 * d];
        const auto hard = ((slope * pre + 1) / 2).clamp(0, 1);
        z_new = value(t, l, hard).detach() + hard - hard.detach();
      }
      const auto flush = zp, update = (1 - zp) * zb, copy = (1 - zp) * (1 - zb);
      const auto c_new = flush * i * g + update * (f * c[l] + i * g) + copy * c[l];
      const auto shown = o * torch::tanh(written_out_norm(c_new, layer.cell_norm));
      h[l] = flush * shown + update * shown + copy * h_before[l];
      c[l] = c_new;
      if (!top) z[l] = z_new;
      hs[l].push_back(h[l]);
    }
    if (L > 1) zs.push_back(torch::stack(z, 1));
  }
  WindowResult out;
  for (const auto& layer : hs) out.h.push_back(torch::stack(layer));
  out.c_n = c;
  out.z = L > 1 ? torch::stack(zs) : torch::zeros({T, B, 0}, input.options());
  return out;
}

/// With boundary values according to p.rule's mode.
inline WindowResult dense_window(const Problem& p) {
  const auto value = [&](int64_t t, int64_t l, const torch::Tensor& hard) -> torch::Tensor {
    switch (p.rule.mode) {
      case BoundaryMode::Step:
        return (hard > 0.5).to(hard.scalar_type());
      case BoundaryMode::Bernoulli:
        return (p.rule.noise[t].select(1, l) < hard).to(hard.scalar_type());
      case BoundaryMode::Soft:
        return hard;
    }
    return {};
  };
  return dense_window(p, value, p.rule.slope.item<double>());
}

}  // namespace hmrnn::test
