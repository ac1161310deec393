#pragma once

#include <ATen/core/Generator.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include "hmrnn/export.h"

namespace hmrnn {

/// Bounds of the mixture's log σ (± this) and of its correlations (± this), approached smoothly by a tanh, so that no
/// density and no gradient can overflow float32, whatever the network's outputs, as long as targets and means are
/// within ±1e10. Near 0, where training happens, both are Graves' functions to within a few per cent.
constexpr double kMixtureLogDeviation = 7;
constexpr double kMixtureCorrelation = 0.995;

/// M bivariate Gaussians and a Bernoulli variable, one set for each position of the leading dimensions "…".
struct HMRNN_API MixtureParameters {
  torch::Tensor log_weight;       ///< […, M]: log π, its exponentials sum to 1
  torch::Tensor mean_x;           ///< […, M]: the means μ_x of the Gaussians
  torch::Tensor mean_y;           ///< […, M]: the means μ_y of the Gaussians
  torch::Tensor log_deviation_x;  ///< […, M]: log σ_x, within ± kMixtureLogDeviation
  torch::Tensor log_deviation_y;  ///< […, M]: log σ_y, likewise
  torch::Tensor correlation;      ///< […, M]: ρ, within ± kMixtureCorrelation
  torch::Tensor pen_logit;        ///< […]: log-odds of the pen being lifted
};

/// Reads the raw outputs of a network, […, 6M + 1], as π̂, μ_x, μ_y, σ̂_x, σ̂_y, ρ̂ (M each) and ê, after Graves 2013,
/// equations 18–22:
///
///     π = softmax(π̂)     σ = exp(S · tanh(σ̂ / S))     ρ = R · tanh(ρ̂)     P(pen up) = 1 / (1 + exp(-ê))
///
/// with S = kMixtureLogDeviation and R = kMixtureCorrelation; Graves has exp(σ̂), tanh(ρ̂), and ê with the other sign.
/// Throws c10::Error if the last dimension is not 6M + 1 for a whole M ≥ 1.
HMRNN_API MixtureParameters read_mixture(const torch::Tensor& raw);

/// log p(x, y, pen) = log Σ_m π_m N(x, y; μ_m, σ_m, ρ_m) + log P(pen), Graves' equations 23–26, in nats; `target` […,
/// 3] of x, y and pen (1: lifted, 0: not) → […]. Computed in log space throughout, on any device. Throws c10::Error if
/// the leading dimensions differ.
HMRNN_API torch::Tensor mixture_log_density(const MixtureParameters& mixture, const torch::Tensor& target);

/// A sample (x, y, pen) of one mixture (all leading dimensions have size 1), float64 [3] on the CPU.
/// `bias` ≥ 0 sharpens it as in Graves' equations 61 and 62: σ = exp(log σ - bias), π = softmax((1 + bias) · log π);
/// the pen is drawn unbiased. Throws c10::Error for a bias below 0, and for more than one mixture.
HMRNN_API torch::Tensor sample_mixture(const MixtureParameters& mixture, double bias, torch::Generator& generator);

/// Options of MixtureDensity.
struct HMRNN_API MixtureDensityOptions {
  explicit MixtureDensityOptions(int64_t input_size) : input_size_(input_size) {}

  /// features of the input
  TORCH_ARG(int64_t, input_size);
  /// Gaussians M
  TORCH_ARG(int64_t, mixtures) = 20;
};

/// The output layer for handwriting: a linear map to the raw parameters of a mixture.
class HMRNN_API MixtureDensityImpl : public torch::nn::Cloneable<MixtureDensityImpl> {
 public:
  /// Throws c10::Error for sizes below 1.
  explicit MixtureDensityImpl(const MixtureDensityOptions& options);

  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// […, input_size] → raw […, 6M + 1], for read_mixture.
  torch::Tensor forward(const torch::Tensor& input);

  MixtureDensityOptions options;
  torch::nn::Linear linear{nullptr};  ///< starts uniform(±1/√input_size)
};

TORCH_MODULE(MixtureDensity);

}  // namespace hmrnn
