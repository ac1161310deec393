#include "hmrnn/analysis/operations.h"

#include "hmrnn/ops/rules.h"

namespace hmrnn {

torch::Tensor fired(const torch::Tensor& z) { return rules::fires(z); }

bool fired(double z) { return rules::fires(z); }

StepOperations step_operations(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers) {
  TORCH_CHECK(z.dim() == 3 && z0.dim() == 2, "operations: z must have 3 dimensions and z0 2, got ", z.sizes(), " and ",
              z0.sizes());
  TORCH_CHECK(z.sizes().slice(1) == z0.sizes(), "operations: z0 must have shape ", z.sizes().slice(1), ", got ",
              z0.sizes());
  TORCH_CHECK(layers >= 1 && z.size(2) < layers, "operations: ", layers, " layers cannot have ", z.size(2),
              " detectors");
  const torch::NoGradGuard no_grad;
  const auto steps = z.size(0), detectors = z.size(2);
  const auto fires = fired(z.detach());
  StepOperations out{torch::ones({steps, z.size(1), layers}, fires.options()),
                     torch::zeros({steps, z.size(1), layers}, fires.options())};
  if (steps == 0) return out;
  out.bottom_up.narrow(2, 1, detectors).copy_(fires);
  out.flush.narrow(2, 0, detectors).copy_(torch::cat({fired(z0.detach()).unsqueeze(0), fires.narrow(0, 0, steps - 1)}));
  return out;
}

torch::Tensor active_steps(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers) {
  return step_operations(z, z0, layers).active();
}

torch::Tensor update_counts(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers,
                            const torch::Tensor& weight) {
  const auto active = active_steps(z, z0, layers).to(torch::kFloat64);
  return weight.defined() ? (active * weight.unsqueeze(2)).sum(at::IntArrayRef({0, 1}))
                          : active.sum(at::IntArrayRef({0, 1}));
}

std::vector<std::string> operation_strings(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers) {
  TORCH_CHECK(z.dim() == 2 && z0.dim() == 1, "operations: z must have 2 dimensions and z0 1, got ", z.sizes(), " and ",
              z0.sizes());
  const auto operations = step_operations(z.unsqueeze(1), z0.unsqueeze(0), layers);
  const auto flush = operations.flush.to(torch::kCPU), active = operations.active().to(torch::kCPU);
  const auto flushes = flush.accessor<bool, 3>(), acts = active.accessor<bool, 3>();
  std::vector<std::string> out(layers, std::string(z.size(0), 'C'));
  for (int64_t l = 0; l < layers; ++l) {
    for (int64_t t = 0; t < z.size(0); ++t) {
      if (acts[t][0][l]) out[l][t] = flushes[t][0][l] ? 'F' : 'U';
    }
  }
  return out;
}

}  // namespace hmrnn
