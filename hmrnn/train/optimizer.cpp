#include "hmrnn/train/optimizer.h"

#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/_fused_adam.h>

#include "hmrnn/error.h"

namespace hmrnn {

ClippedAdam::ClippedAdam(std::vector<std::pair<std::string, torch::Tensor>> parameters, const Options& options)
    : options_(options) {
  TORCH_CHECK(!parameters.empty(), "ClippedAdam: no parameters");
  for (auto& [name, parameter] : parameters) {
    TORCH_CHECK(parameter.scalar_type() == torch::kFloat32, "ClippedAdam: ", name, " must be float32, got ",
                parameter.scalar_type());
    names_.push_back(name);
    exp_avg_.push_back(torch::zeros_like(parameter, torch::MemoryFormat::Contiguous).detach());
    exp_avg_sq_.push_back(torch::zeros_like(exp_avg_.back()));
    parameters_.push_back(parameter);
  }
  step_ = torch::zeros({}, exp_avg_[0].options());
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
  report.norm = torch::stack(at::_foreach_norm(gradients, 2)).norm();
  // A norm that overflows is as useless as a NaN. The sum is finite only if both are.
  report.skipped = torch::isfinite(report.norm + loss.detach()).logical_not().to(torch::kFloat32);
  std::optional<torch::Tensor> scale;
  if (options_.clip > 0) scale = (report.norm / options_.clip).clamp_min(1);  // gradients are divided by it

  step_ += 1 - report.skipped;
  const std::vector<torch::Tensor> steps(parameters_.size(), step_);
  at::_fused_adam_(parameters_, gradients, exp_avg_, exp_avg_sq_, {}, steps, learning_rate_, options_.beta1,
                   options_.beta2, /*weight_decay=*/0, options_.eps, /*amsgrad=*/false, /*maximize=*/false, scale,
                   report.skipped);
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
  return report;
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
  const auto read = [&](const std::string& name, at::IntArrayRef sizes, torch::ScalarType dtype) {
    const auto tensor = file.find(name);
    if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
    if (tensor.sizes() != sizes || tensor.scalar_type() != dtype) {
      throw Error(where + ": tensor " + name + " must be " + c10::toString(dtype) + " " + c10::str(sizes) + ", not " +
                  c10::toString(tensor.scalar_type()) + " " + c10::str(tensor.sizes()));
    }
    return tensor;
  };
  for (size_t i = 0; i < names_.size(); ++i) {
    exp_avg_[i].copy_(read("adam.exp_avg." + names_[i], exp_avg_[i].sizes(), torch::kFloat32));
    const auto squares = read("adam.exp_avg_sq." + names_[i], exp_avg_sq_[i].sizes(), torch::kFloat32);
    if (squares.numel() > 0 && squares.min().item<float>() < 0) {
      throw Error(where + ": tensor adam.exp_avg_sq." + names_[i] + " has negative values, where squares stand");
    }
    exp_avg_sq_[i].copy_(squares);
  }
  step_.fill_(read("adam.updates", {}, torch::kInt64).item<int64_t>());
}

}  // namespace hmrnn
