#include <ATen/ATen.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <optional>

#include "hmrnn/ops/parameter_update.h"

namespace hmrnn {

namespace {

/// LibTorch's fused update of the parameters in [begin, end).
void fused_adam(const AdamTensors& t, const AdamNumbers& n, size_t begin, size_t end,
                const std::vector<at::Tensor>& gradients, double weight_decay, const std::optional<at::Tensor>& scale,
                const at::Tensor& skipped) {
  if (begin == end) return;
  const auto part = [&](at::TensorList all) { return all.slice(begin, end - begin); };
  const std::vector<at::Tensor> steps(end - begin, t.updates);
  const auto pass = [&](auto fused) {
    fused(part(t.parameters), part(gradients), part(t.exp_avg), part(t.exp_avg_sq), at::TensorList(), steps,
          t.learning_rate, n.beta1, n.beta2, weight_decay, n.eps, /*amsgrad=*/false, /*maximize=*/false, scale,
          skipped);
  };
  if (n.decoupled) {
    pass([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
  } else {
    pass([](auto&&... arguments) { at::_fused_adam_(arguments...); });
  }
}

}  // namespace

AdamReport reference_clipped_adam_(const AdamTensors& t, const AdamNumbers& n) {
  AdamReport report;
  report.norms = at::stack(at::_foreach_norm(t.gradients, 2));
  report.norm = report.norms.norm();
  // A norm that overflows is as useless as a NaN. The sum is finite only if both are.
  report.not_finite = at::isfinite(report.norm + t.loss).logical_not().to(at::kFloat);
  report.skipped = report.not_finite;
  if (n.skip_norm > 0) report.skipped = report.norm.gt(n.skip_norm).to(at::kFloat).maximum(report.not_finite);
  std::optional<at::Tensor> scale;
  if (n.clip > 0) scale = (report.norm / n.clip).clamp_min(1);  // gradients are divided by it
  auto gradients = t.gradients.vec();
  if (scale && scale->scalar_type() == at::kDouble) {  // the fused passes accept only a float32 divisor
    for (auto& gradient : gradients) gradient = gradient / *scale;
    scale.reset();
  }
  t.updates.add_(1 - report.skipped);
  const auto matrices = static_cast<size_t>(n.matrices);
  fused_adam(t, n, 0, matrices, gradients, n.weight_decay, scale, report.skipped);
  fused_adam(t, n, matrices, t.parameters.size(), gradients, 0, scale, report.skipped);
  return report;
}

}  // namespace hmrnn
