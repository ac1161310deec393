#include "hmrnn/analysis/operations.h"

#include <algorithm>

#include "hmrnn/ops/rules.h"

namespace hmrnn {

namespace {

void check(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers, int64_t dims) {
  TORCH_CHECK(z.dim() == dims && z0.dim() == dims - 1, "operations: z must have ", dims, " dimensions and z0 ",
              dims - 1, ", got ", z.sizes(), " and ", z0.sizes());
  TORCH_CHECK(z.sizes().slice(1) == z0.sizes(), "operations: z0 must have shape ", z.sizes().slice(1), ", got ",
              z0.sizes());
  TORCH_CHECK(layers >= 1 && z.size(-1) < layers, "operations: ", layers, " layers cannot have ", z.size(-1),
              " detectors");
}

}  // namespace

torch::Tensor active_steps(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers) {
  check(z, z0, layers, 3);
  torch::NoGradGuard no_grad;
  const auto steps = z.size(0), detectors = z.size(2);
  const auto fires = rules::fires(z.detach());
  auto active = torch::ones({steps, z.size(1), layers}, fires.options());
  if (steps == 0 || detectors == 0) return active;
  const auto before = torch::cat({rules::fires(z0.detach()).unsqueeze(0), fires.narrow(0, 0, steps - 1)});
  for (int64_t l = 1; l < layers && l <= detectors; ++l) {
    auto here = active.select(2, l);
    here.copy_(fires.select(2, l - 1));
    if (l < detectors) here.logical_or_(before.select(2, l));
  }
  return active;
}

torch::Tensor update_counts(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers,
                            const torch::Tensor& weight) {
  const auto active = active_steps(z, z0, layers).to(torch::kFloat64);
  return weight.defined() ? (active * weight.unsqueeze(2)).sum(at::IntArrayRef({0, 1}))
                          : active.sum(at::IntArrayRef({0, 1}));
}

std::vector<std::string> operation_strings(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers) {
  check(z, z0, layers, 2);
  const auto steps = z.size(0), detectors = z.size(1);
  const auto fires = rules::fires(z.detach()).to(torch::kCPU).contiguous();
  const auto first = rules::fires(z0.detach()).to(torch::kCPU).contiguous();
  const bool* now = fires.data_ptr<bool>();
  std::vector<std::string> out(layers, std::string(steps, 'U'));
  for (int64_t l = 0; l < std::min(layers, detectors + 1); ++l) {
    for (int64_t t = 0; t < steps; ++t) {
      const bool bottom_up = l == 0 || now[t * detectors + l - 1];
      const bool flush = l < detectors && (t == 0 ? first.data_ptr<bool>()[l] : now[(t - 1) * detectors + l]);
      const rules::Operation operation{bottom_up, flush};
      out[l][t] = operation.flush ? 'F' : operation.active() ? 'U' : 'C';
    }
  }
  return out;
}

}  // namespace hmrnn
