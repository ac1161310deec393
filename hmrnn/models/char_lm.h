#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/dropout.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/core.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/output_module.h"
#include "hmrnn/nn/stacked_lstm.h"

namespace hmrnn {

/// Options of CharLM; the defaults are the paper's PTB model.
struct HMRNN_API CharLMOptions {
  explicit CharLMOptions(int64_t vocabulary_size) : vocabulary_size_(vocabulary_size) {}

  /// number of symbols V
  TORCH_ARG(int64_t, vocabulary_size);
  /// size E of the input embedding
  TORCH_ARG(int64_t, embedding_size) = 128;
  /// units of each layer, bottom to top
  TORCH_ARG(std::vector<int64_t>, hidden_sizes) = {512, 512, 512};
  /// size of the output embedding h^e
  TORCH_ARG(int64_t, output_embedding_size) = 512;
  /// HM-LSTM or the control
  TORCH_ARG(Core, core) = Core::HMLSTM;
  /// layer normalisation, see HMLSTMOptions
  TORCH_ARG(bool, layer_norm) = true;
  /// how boundaries are decided
  TORCH_ARG(BoundaryMode, boundary) = BoundaryMode::Step;
  /// slope a of hardσ at the start
  TORCH_ARG(double, slope) = 1.0;
  /// initial bias of the forget gates
  TORCH_ARG(double, forget_bias) = 0.0;
  /// initial bias of the boundary rows
  TORCH_ARG(double, boundary_bias) = 0.0;
  /// probability of dropping a unit of h^e in training
  TORCH_ARG(double, dropout) = 0.0;
};

/// What CharLM::forward returns.
struct CharLMOutput {
  torch::Tensor logits;  ///< [T, B, V]
  HMLSTMOutput core;     ///< the recurrent layers' outputs, boundaries and final state
};

class CharLMStream;

/// Character model: embedding → HM-LSTM (or LSTM) → output module → softmax (PAPER.md, "The experiments").
/// Parameter names: `embedding.weight`, `hm_lstm.layers.{l}.…` (or `lstm.layers.{l}.…`), `output.gates`,
/// `output.embedding.{l}`, `output.softmax.{weight,bias}`.
class HMRNN_API CharLMImpl : public torch::nn::Cloneable<CharLMImpl> {
 public:
  /// Throws c10::Error for a size below 1.
  explicit CharLMImpl(const CharLMOptions& options);

  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// `index` int64 [T, B] in [0, V); no state: zeros.
  CharLMOutput forward(const torch::Tensor& index, const std::optional<HMLSTMState>& state = std::nullopt,
                       const HMLSTMCall& call = {});

  /// A stream from `state` (batch 1; none: zeros): a text read symbol by symbol. See models/char_lm_stream.h.
  CharLMStream stream(const std::optional<HMLSTMState>& state = std::nullopt) const;

  /// Reads one symbol, in [0, V), without dropout or gradients; returns the logits [V] of the next one, or an undefined
  /// tensor without `predict`, which spares the output module. `call` is for the HM-LSTM alone.
  torch::Tensor step(int64_t symbol, CharLMStream& stream, const HMLSTMStepCall& call = {}, bool predict = true) const;

  /// All zeros, in the parameters' dtype and on their device.
  HMLSTMState initial_state(int64_t batch) const;

  /// The slope of the boundary detector (1 for the control, which has none; setting it there has no effect).
  void set_slope(double slope);
  double slope() const;  ///< see set_slope

  /// bfloat16: products of the recurrent layers and of the output module on rounded operands; nullopt: float32.
  void set_product_dtype(std::optional<torch::ScalarType> dtype);

  CharLMOptions options;
  torch::nn::Embedding embedding{nullptr};  ///< [V, E]
  HMLSTM hm_lstm{nullptr};                  ///< empty for Core::LSTM
  StackedLSTM lstm{nullptr};                ///< empty for Core::HMLSTM
  OutputModule output{nullptr};             ///< with the softmax layer
  torch::nn::Dropout dropout{nullptr};      ///< of h^e

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(std::optional<HMLSTMState>())},
                           {2, torch::nn::AnyValue(HMLSTMCall())})
};

TORCH_MODULE(CharLM);

/// Mean negative log-likelihood in nats of `target` int64 [T, B] under `logits` [T, B, V]; with `weight` [T, B] (0 or
/// 1, not all 0) the mean over the targets of weight 1. Throws c10::Error where the shapes do not agree.
HMRNN_API torch::Tensor cross_entropy(const torch::Tensor& logits, const torch::Tensor& target,
                                      const torch::Tensor& weight = {});

}  // namespace hmrnn
