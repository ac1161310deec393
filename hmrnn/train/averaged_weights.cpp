#include "hmrnn/train/averaged_weights.h"

#include "hmrnn/error.h"
#include "hmrnn/ops/parameter_update.h"

namespace hmrnn {

namespace {

const std::string kAverage = "ema.", kAverageUpdates = "ema.updates";

}  // namespace

AveragedWeights::AveragedWeights(std::vector<std::pair<std::string, torch::Tensor>> parameters, double decay)
    : decay_(decay) {
  TORCH_CHECK(!parameters.empty(), "AveragedWeights: no parameters");
  TORCH_CHECK(decay > 0 && decay < 1, "AveragedWeights: decay must lie between 0 and 1, got ", decay);
  const torch::NoGradGuard no_grad;
  for (auto& [name, parameter] : parameters) {
    TORCH_CHECK(parameter.scalar_type() == torch::kFloat32, "AveragedWeights: ", name, " must be float32, got ",
                parameter.scalar_type());
    for (size_t i = 0; i < parameters_.size(); ++i) {
      TORCH_CHECK(!parameter.is_same(parameters_[i]), "AveragedWeights: ", name, " and ", names_[i],
                  " are the same tensor, which would be averaged twice");
    }
    names_.push_back(name);
    averages_.push_back(parameter.detach().clone());
    parameters_.push_back(parameter);
  }
  updates_ = torch::zeros({}, averages_[0].options());
}

void AveragedWeights::update(const torch::Tensor& skipped) {
  const torch::NoGradGuard no_grad;
  const auto made = 1 - skipped;
  updates_ += made;
  const auto decay = ((1 + updates_) / (10 + updates_)).clamp_max(decay_);
  const auto share = (1 - decay) * made;
  average_(averages_, parameters_, share);
}

AveragedWeights::InPlace::InPlace(AveragedWeights& weights) : weights_(weights) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < weights.parameters_.size(); ++i) {
    kept_.push_back(weights.parameters_[i].detach().clone());
    weights.parameters_[i].copy_(weights.averages_[i]);
  }
}

AveragedWeights::InPlace::~InPlace() {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < kept_.size(); ++i) weights_.parameters_[i].copy_(kept_[i]);
}

void AveragedWeights::save(SafeTensors& file) const {
  for (size_t i = 0; i < names_.size(); ++i) file.tensors.emplace_back(kAverage + names_[i], averages_[i].cpu());
  file.tensors.emplace_back(kAverageUpdates,
                            torch::tensor(static_cast<int64_t>(updates_.item<double>()), torch::kInt64));
}

void AveragedWeights::load(const SafeTensors& file, const std::string& where) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names_.size(); ++i) {
    averages_[i].copy_(file.require(kAverage + names_[i], averages_[i].sizes(), torch::kFloat32, where));
  }
  updates_.fill_(file.require(kAverageUpdates, {}, torch::kInt64, where).item<int64_t>());
}

}  // namespace hmrnn
