#pragma once

#include <torch/nn/modules/common.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/core.h"
#include "hmrnn/models/recurrent_model.h"
#include "hmrnn/nn/mixture_density.h"

namespace hmrnn {

/// Options of HandwritingModel; the defaults are the paper's IAM-OnDB model.
struct HMRNN_API HandwritingOptions {
  /// units of each layer, bottom to top
  TORCH_ARG(std::vector<int64_t>, hidden_sizes) = {400, 400, 400};
  /// size of the output embedding h^e
  TORCH_ARG(int64_t, output_embedding_size) = 400;
  /// Gaussians of the output mixture
  TORCH_ARG(int64_t, mixtures) = 20;
  /// HM-LSTM or the control
  TORCH_ARG(Core, core) = Core::HMLSTM;
  /// layer normalisation. Off, unlike for text: the first layer's W x, normalised, depends on the direction of its
  /// three inputs but not on their size, so that short and long offsets look alike; and gradients grow without bound
  /// over a line.
  TORCH_ARG(bool, layer_norm) = false;
  /// how boundaries are decided
  TORCH_ARG(BoundaryMode, boundary) = BoundaryMode::Step;
  /// slope a of hardσ at the start
  TORCH_ARG(double, slope) = 1.0;
  /// initial bias of the forget gates
  TORCH_ARG(double, forget_bias) = 0.0;
  /// initial bias of the boundary rows
  TORCH_ARG(double, boundary_bias) = 0.0;
  /// how the core's matrices are initialised
  TORCH_ARG(Initialisation, init) = Initialisation::Uniform;
  /// initial gain of the core's product norms, see HMLSTMCellOptions
  TORCH_ARG(double, norm_gain) = 1.0;
  /// probability of dropping a unit of h^e in training
  TORCH_ARG(double, dropout) = 0.0;
  /// see HMLSTMOptions
  TORCH_ARG(double, recurrent_dropout) = 0.0;
  /// see HMLSTMOptions
  TORCH_ARG(double, locked_dropout) = 0.0;
  /// see HMLSTMOptions
  TORCH_ARG(double, weight_drop) = 0.0;
};

/// What HandwritingModel::forward returns.
struct HandwritingOutput {
  torch::Tensor raw;  ///< [T, B, 6M + 1], for read_mixture: at each step the density of the next point
  HMLSTMOutput core;  ///< the recurrent layers' outputs, boundaries and final state
};

/// Handwriting model: points (x, y, pen) → HM-LSTM (or LSTM) → output module → mixture density (section 4.2 of the
/// paper). Parameter names: `hm_lstm.layers.{l}.…` (or `lstm.layers.{l}.…`), `output.gates`, `output.embedding.{l}`,
/// `mixture.linear.{weight,bias}`.
class HMRNN_API HandwritingModelImpl : public RecurrentModel<HandwritingModelImpl> {
 public:
  /// Throws c10::Error for no layers, a size below 1 or a probability outside [0, 1).
  explicit HandwritingModelImpl(const HandwritingOptions& options);

  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// `input` [T, B, 3]: standardised x and y, and 1 where the pen is lifted; no state: zeros. `call.lengths`: how many
  /// of the T steps belong to each sequence; the outputs of later steps have no meaning.
  HandwritingOutput forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state = std::nullopt,
                            const HMLSTMCall& call = {});

  HandwritingOptions options;
  MixtureDensity mixture{nullptr};  ///< h^e → the density of the next point

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(std::optional<HMLSTMState>())},
                           {2, torch::nn::AnyValue(HMLSTMCall())})
};

TORCH_MODULE(HandwritingModel);

/// Copies the weights and the slope of `source` into `model`, which has the same core and sizes. Throws c10::Error
/// naming what differs.
HMRNN_API void init_from(HandwritingModel model, const HandwritingModel& source);

/// Mean negative log-likelihood in nats of `target` [T, B, 3] under the mixtures `raw` [T, B, 6M + 1]; with `weight`
/// [T, B] (0 or 1, not all 0) the mean over the targets of weight 1. Throws c10::Error where the shapes do not agree.
HMRNN_API torch::Tensor handwriting_loss(const torch::Tensor& raw, const torch::Tensor& target,
                                         const torch::Tensor& weight = {});

}  // namespace hmrnn
