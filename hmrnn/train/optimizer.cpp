#include "hmrnn/train/optimizer.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>
#include <ATen/ops/_fused_adamw.h>

#include <algorithm>

#include "hmrnn/error.h"

namespace hmrnn {

ClippedAdam::ClippedAdam(std::vector<std::pair<std::string, torch::Tensor>> parameters, const Options& options)
    : options_(options) {
  TORCH_CHECK(!parameters.empty(), "ClippedAdam: no parameters");
  if (options.weight_decay > 0) {  // matrices first: a fused pass has one weight decay
    const auto vectors = std::stable_partition(parameters.begin(), parameters.end(),
                                               [](const auto& named) { return named.second.dim() >= 2; });
    matrices_ = static_cast<size_t>(vectors - parameters.begin());
  }
  for (auto& [name, parameter] : parameters) {
    const auto type = parameters[0].second.scalar_type();
    TORCH_CHECK(parameter.scalar_type() == type && (type == torch::kFloat32 || type == torch::kFloat64),
                "ClippedAdam: ", name, " must be ", type == torch::kFloat64 ? "float64" : "float32", ", got ",
                parameter.scalar_type());
    names_.push_back(name);
    exp_avg_.push_back(torch::zeros_like(parameter, torch::MemoryFormat::Contiguous).detach());
    exp_avg_sq_.push_back(torch::zeros_like(exp_avg_.back()));
    parameters_.push_back(parameter);
  }
  step_ = torch::zeros({}, exp_avg_[0].options().dtype(torch::kFloat32));  // the fused passes count in float32
  learning_rate_ = torch::zeros({}, step_.options().dtype(step_.is_cuda() ? torch::kFloat32 : torch::kFloat64));
}

void ClippedAdam::set_learning_rate(double rate) { learning_rate_.fill_(rate); }

ClippedAdam::Report ClippedAdam::step(const torch::Tensor& loss) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  gradients.reserve(parameters_.size());
  for (const auto& parameter : parameters_) {
    const auto& gradient = parameter.grad();
    gradients.push_back(gradient.defined() ? gradient.contiguous() : torch::zeros_like(parameter));
  }
  Report report;
  report.norms = torch::stack(at::_foreach_norm(gradients, 2));
  report.norm = report.norms.norm();
  // A norm that overflows is as useless as a NaN. The sum is finite only if both are.
  report.not_finite = torch::isfinite(report.norm + loss.detach()).logical_not().to(torch::kFloat32);
  report.skipped = report.not_finite;
  if (options_.skip_norm > 0) {
    report.skipped = report.norm.gt(options_.skip_norm).to(torch::kFloat32).maximum(report.not_finite);
  }
  std::optional<torch::Tensor> scale;
  if (options_.clip > 0) scale = (report.norm / options_.clip).clamp_min(1);  // gradients are divided by it
  if (scale && scale->scalar_type() == torch::kFloat64) {  // the fused passes accept only a float32 divisor
    for (auto& gradient : gradients) gradient = gradient / *scale;
    scale.reset();
  }

  step_ += 1 - report.skipped;
  adam(0, matrices_, gradients, options_.weight_decay, scale, report.skipped);
  adam(matrices_, parameters_.size(), gradients, 0, scale, report.skipped);
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
  return report;
}

void ClippedAdam::adam(size_t begin, size_t end, const std::vector<torch::Tensor>& gradients, double weight_decay,
                       const std::optional<torch::Tensor>& scale, const torch::Tensor& skipped) {
  if (begin == end) return;
  const auto part = [&](const std::vector<torch::Tensor>& all) {
    return at::TensorList(all).slice(begin, end - begin);
  };
  const std::vector<torch::Tensor> steps(end - begin, step_);
  const auto pass = [&](auto fused) {
    fused(part(parameters_), part(gradients), part(exp_avg_), part(exp_avg_sq_), at::TensorList(), steps,
          learning_rate_, options_.beta1, options_.beta2, weight_decay, options_.eps, /*amsgrad=*/false,
          /*maximize=*/false, scale, skipped);
  };
  if (options_.weight_decay_mode == WeightDecayMode::L2) {
    pass([](auto&&... arguments) { at::_fused_adam_(arguments...); });
  } else {
    pass([](auto&&... arguments) { at::_fused_adamw_(arguments...); });
  }
}

int64_t ClippedAdam::updates() const { return static_cast<int64_t>(step_.item<double>()); }

void ClippedAdam::save(SafeTensors& file) const {
  for (size_t i = 0; i < names_.size(); ++i) {
    file.tensors.emplace_back("adam.exp_avg." + names_[i], exp_avg_[i].cpu());
    file.tensors.emplace_back("adam.exp_avg_sq." + names_[i], exp_avg_sq_[i].cpu());
  }
  file.tensors.emplace_back("adam.updates", torch::tensor(updates(), torch::kInt64));
}

void ClippedAdam::load(const SafeTensors& file, const std::string& where) {
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) {
    const auto type = exp_avg_[i].scalar_type();
    exp_avg_[i].copy_(file.require("adam.exp_avg." + names_[i], exp_avg_[i].sizes(), type, where));
    const auto squares = file.require("adam.exp_avg_sq." + names_[i], exp_avg_sq_[i].sizes(), type, where);
    if (squares.numel() > 0 && squares.min().item<double>() < 0) {
      throw Error(where + ": tensor adam.exp_avg_sq." + names_[i] + " has negative values, where squares stand");
    }
    exp_avg_sq_[i].copy_(squares);
  }
  const auto updates = file.require("adam.updates", {}, torch::kInt64, where).item<int64_t>();
  if (updates < 0)
    throw Error(where + ": tensor adam.updates is " + std::to_string(updates) + ", not a number of updates");
  step_.fill_(updates);
}

}  // namespace hmrnn
