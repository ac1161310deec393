#include "hmrnn/train/optimizer.h"

#include <algorithm>

#include "hmrnn/error.h"
#include "hmrnn/ops/parameter_update.h"

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
    for (size_t i = 0; i < parameters_.size(); ++i) {
      TORCH_CHECK(!parameter.is_same(parameters_[i]), "ClippedAdam: ", name, " and ", names_[i],
                  " are the same tensor, which would be updated twice");
    }
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
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const auto& parameter = parameters_[i];
    const auto& gradient = parameter.grad();
    TORCH_CHECK(!gradient.defined() ||
                    (gradient.sizes() == parameter.sizes() && gradient.scalar_type() == parameter.scalar_type()),
                "ClippedAdam: the gradient of ", names_[i], " must be ", parameter.scalar_type(), " ",
                parameter.sizes(), ", got ", gradient.scalar_type(), " ", gradient.sizes());
    gradients.push_back(gradient.defined() ? gradient.contiguous() : torch::zeros_like(parameter));
  }
  const auto update = clipped_adam_(
      {parameters_, gradients, exp_avg_, exp_avg_sq_, step_, learning_rate_, loss.detach()},
      {options_.beta1, options_.beta2, options_.eps, options_.clip, options_.skip_norm, options_.weight_decay,
       options_.weight_decay_mode == WeightDecayMode::Decoupled, static_cast<int64_t>(matrices_)});
  for (auto& parameter : parameters_) parameter.mutable_grad().reset();
  return {update.norms, update.norm, update.skipped, update.not_finite};
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
