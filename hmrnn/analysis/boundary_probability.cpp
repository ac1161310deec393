#include "hmrnn/analysis/boundary_probability.h"

#include "hmrnn/ops/boundary.h"

namespace hmrnn {

namespace {

/// x [T, B, n] shifted by one step: that of the previous step, and `first` [B, n] at step 0.
torch::Tensor step_before(const torch::Tensor& x, const torch::Tensor& first) {
  return torch::cat({first.unsqueeze(0), x.narrow(0, 0, x.size(0) - 1)});
}

}  // namespace

torch::Tensor boundary_probability(const HMLSTM& core, const torch::Tensor& input, const HMLSTMState& before,
                                   const HMLSTMOutput& out) {
  const torch::NoGradGuard no_grad;
  const auto layers = core->num_layers();
  TORCH_CHECK(static_cast<int64_t>(out.h.size()) == layers && static_cast<int64_t>(before.h.size()) == layers,
              "boundary_probability: the module has ", layers, " layers, the output ", out.h.size(), ", the state ",
              before.h.size());
  TORCH_CHECK(input.dim() == 3 && input.size(2) == core->options.input_size() && input.size(0) == out.z.size(0) &&
                  input.size(1) == out.z.size(1),
              "boundary_probability: input must have shape [", out.z.size(0), ", ", out.z.size(1), ", ",
              core->options.input_size(), "], got ", input.sizes());
  auto probability = torch::zeros_like(out.z);
  if (out.z.size(0) == 0) return probability;
  const auto z_before = step_before(out.z, before.z);
  const auto parameters = core->layer_parameters();
  const auto slope = torch::full({}, core->slope(), out.z.options().dtype(torch::kFloat64));
  for (int64_t l = 0; l + 1 < layers; ++l) {
    const auto& layer = parameters[static_cast<size_t>(l)];
    const auto row = 4 * layer.units();
    const auto h = step_before(out.h[l], before.h[l]), above = step_before(out.h[l + 1], before.h[l + 1]);
    auto s = torch::matmul(h, layer.recurrent[row]) + layer.bias[row];
    s += z_before.select(2, l) * torch::matmul(above, layer.top_down[row]);
    const auto below = torch::matmul(l == 0 ? input : out.h[l - 1], layer.bottom_up[row]);
    s += l == 0 ? below : out.z.select(2, l - 1) * below;
    probability.select(2, l).copy_(hard_sigmoid(s, slope));
  }
  return probability;
}

torch::Tensor state_norms(const HMLSTMOutput& out) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> norms;
  for (const auto& h : out.h) norms.push_back(torch::linalg_vector_norm(h, 2, at::IntArrayRef({2})));
  return torch::stack(norms, 2);
}

}  // namespace hmrnn
