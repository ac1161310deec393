#include "hmrnn/tasks/boundary_cost.h"

#include <cmath>

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

/// [detectors] on the device; a single value is repeated.
torch::Tensor for_each_detector(std::vector<double> values, int64_t detectors, const std::string& what,
                                torch::Device device) {
  if (values.size() == 1) values.assign(static_cast<size_t>(detectors), values[0]);
  if (static_cast<int64_t>(values.size()) != detectors) {
    throw Error(what + " has " + std::to_string(values.size()) + " values, but there are " + std::to_string(detectors) +
                " boundary detectors");
  }
  return torch::tensor(values, torch::kFloat32).to(device);
}

/// ln of rates, which may be 0.
torch::Tensor logarithm(const torch::Tensor& rates) { return (rates + 1e-4).log_(); }

/// ln of the odds of rates, which may be 0 or 1.
torch::Tensor log_odds(const torch::Tensor& rates) { return logarithm(rates).sub_(logarithm(1 - rates)); }

}  // namespace

BoundaryCost::BoundaryCost(const BoundaryCostOptions& options, int64_t detectors, torch::Device device)
    : options_(options) {
  if (!options.cost.empty() && !options.target_rate.empty()) {
    throw Error("a cost of firing and a target rate exclude each other");
  }
  if (!options.cost.empty()) lambda_ = for_each_detector(options.cost, detectors, "the cost of firing", device);
  if (!options.target_rate.empty()) {
    const auto target = for_each_detector(options.target_rate, detectors, "the target rate", device);
    log_target_ = logarithm(target);
    target_log_odds_ = log_odds(target);
    lambda_ = torch::zeros_like(target);
  }
}

torch::Tensor BoundaryCost::penalty(const torch::Tensor& z, const torch::Tensor& weight) {
  if (!active()) return {};
  const auto flat = z.flatten(0, 1);
  // clamp_min: the mean over no steps is 0, not NaN (in a window, all lines may have ended).
  const auto mean =
      weight.defined() ? (flat * weight.reshape({-1, 1})).sum(0) / weight.sum().clamp_min(1) : flat.mean(0);
  mean_ = mean.detach();
  return (mean * lambda_).sum();
}

void BoundaryCost::skip() {
  if (active()) mean_ = torch::zeros_like(lambda_);
}

std::vector<torch::Tensor> BoundaryCost::means() const {
  return log_target_.defined() ? std::vector<torch::Tensor>{mean_} : std::vector<torch::Tensor>{};
}

void BoundaryCost::settle(const torch::Tensor& not_finite) {
  if (!log_target_.defined()) return;
  const torch::NoGradGuard no_grad;
  const auto skip = not_finite.ne(0);
  const auto change = logarithm(mean_).sub_(log_target_).clamp_(-1, 1).mul_(options_.speed);
  lambda_.add_(change.masked_fill_(skip, 0)).clamp_(-options_.limit, options_.limit);
  const auto off = log_odds(mean_).sub_(target_log_odds_);
  bias_change_ = off.sign().mul_(off.abs().gt(std::log(kFarOff))).mul_(-options_.bias_speed).masked_fill_(skip, 0);
  mean_ = torch::Tensor();
}

std::vector<double> BoundaryCost::lambda() const {
  if (!active()) return {};
  const auto host = lambda_.to(torch::kCPU, torch::kFloat64);
  return {host.data_ptr<double>(), host.data_ptr<double>() + host.numel()};
}

void BoundaryCost::save(SafeTensors& file) const {
  if (log_target_.defined())
    file.tensors.emplace_back("boundary_cost", lambda_.to(torch::kCPU, lambda_.scalar_type(), false, /*copy=*/true));
}

void BoundaryCost::load(const SafeTensors& file, const std::string& where) {
  if (!log_target_.defined()) return;
  const torch::NoGradGuard no_grad;
  lambda_.copy_(file.require("boundary_cost", lambda_.sizes(), torch::kFloat32, where));
}

}  // namespace hmrnn
