#include "hmrnn/nn/mixture_density.h"

#include <cmath>
#include <numbers>

namespace hmrnn {

MixtureParameters read_mixture(const torch::Tensor& raw) {
  TORCH_CHECK(raw.dim() >= 1 && raw.size(-1) % 6 == 1 && raw.size(-1) > 1,
              "read_mixture: the last dimension must be 6M + 1, got ", raw.sizes());
  const auto m = raw.size(-1) / 6;
  const auto part = [&](int64_t i) { return raw.narrow(-1, i * m, m); };
  const auto bounded = [](const torch::Tensor& x) { return (x / kMixtureLogDeviation).tanh() * kMixtureLogDeviation; };
  MixtureParameters out;
  out.log_weight = part(0).log_softmax(-1);
  out.mean_x = part(1);
  out.mean_y = part(2);
  out.log_deviation_x = bounded(part(3));
  out.log_deviation_y = bounded(part(4));
  out.correlation = part(5).tanh() * kMixtureCorrelation;
  out.pen_logit = raw.select(-1, 6 * m);
  return out;
}

torch::Tensor mixture_log_density(const MixtureParameters& mixture, const torch::Tensor& target) {
  TORCH_CHECK(target.dim() >= 1 && target.size(-1) == 3 &&
                  target.sizes().slice(0, target.dim() - 1) == mixture.pen_logit.sizes(),
              "mixture_log_density: target must have shape ", mixture.pen_logit.sizes(), " and 3, got ",
              target.sizes());
  const auto x = (target.narrow(-1, 0, 1) - mixture.mean_x) * mixture.log_deviation_x.neg().exp();
  const auto y = (target.narrow(-1, 1, 1) - mixture.mean_y) * mixture.log_deviation_y.neg().exp();
  const auto& rho = mixture.correlation;
  const auto rest = (1 - rho) * (1 + rho);  // 1 - ρ²
  const auto distance = (x * x + y * y - 2 * rho * x * y) / rest;
  const auto log_normal = -std::log(2 * std::numbers::pi) - mixture.log_deviation_x - mixture.log_deviation_y -
                          0.5 * (rest.log() + distance);
  const auto pen = target.select(-1, 2) * mixture.pen_logit - torch::softplus(mixture.pen_logit);
  return (mixture.log_weight + log_normal).logsumexp(-1) + pen;
}

torch::Tensor sample_mixture(const MixtureParameters& mixture, double bias, torch::Generator& generator) {
  TORCH_CHECK(bias >= 0, "sample_mixture: bias must be at least 0, got ", bias);
  TORCH_CHECK(mixture.pen_logit.numel() == 1, "sample_mixture: needs the mixture of a single step, got ",
              mixture.pen_logit.sizes());
  const torch::NoGradGuard no_grad;
  const auto flat = [](const torch::Tensor& x) { return x.to(torch::kCPU, torch::kFloat64).reshape({-1}); };
  const auto weight = torch::softmax((1 + bias) * flat(mixture.log_weight), 0);
  const auto component = torch::multinomial(weight, 1, /*replacement=*/true, generator).item<int64_t>();
  const auto of = [&](const torch::Tensor& x) { return flat(x)[component].item<double>(); };
  const auto normal = torch::randn({2}, generator, torch::kFloat64);
  const double a = normal[0].item<double>(), b = normal[1].item<double>();
  const double rho = of(mixture.correlation);
  const double pen_up = torch::sigmoid(flat(mixture.pen_logit))[0].item<double>();
  const double pen = torch::rand({1}, generator, torch::kFloat64).item<double>() < pen_up ? 1 : 0;
  return torch::tensor(
      {of(mixture.mean_x) + std::exp(of(mixture.log_deviation_x) - bias) * a,
       of(mixture.mean_y) + std::exp(of(mixture.log_deviation_y) - bias) * (rho * a + std::sqrt(1 - rho * rho) * b),
       pen},
      torch::kFloat64);
}

MixtureDensityImpl::MixtureDensityImpl(const MixtureDensityOptions& options_) : options(options_) {
  TORCH_CHECK(options.input_size() >= 1, "MixtureDensity: input_size must be at least 1, got ", options.input_size());
  TORCH_CHECK(options.mixtures() >= 1, "MixtureDensity: mixtures must be at least 1, got ", options.mixtures());
  reset();
}

void MixtureDensityImpl::reset() {
  linear = register_module("linear", torch::nn::Linear(options.input_size(), 6 * options.mixtures() + 1));
}

void MixtureDensityImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::MixtureDensity(input_size=" << options.input_size() << ", mixtures=" << options.mixtures() << ")";
}

torch::Tensor MixtureDensityImpl::forward(const torch::Tensor& input) { return linear(input); }

}  // namespace hmrnn
