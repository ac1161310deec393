#pragma once

#include <torch/nn/modules/common.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/core.h"
#include "hmrnn/models/recurrent_model.h"

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
  /// probability of dropping a symbol's embedding for a whole window in training (Gal and Ghahramani 2016)
  TORCH_ARG(double, embedding_dropout) = 0.0;
};

/// What CharLM::forward returns.
struct CharLMOutput {
  torch::Tensor logits;  ///< [T, B, V]
  HMLSTMOutput core;     ///< the recurrent layers' outputs, boundaries and final state
};

class CharLMStream;

/// Character model: embedding → HM-LSTM (or LSTM) → output module → softmax (section 4.1 of the paper). Parameter
/// names: `embedding.weight`, `hm_lstm.layers.{l}.…` (or `lstm.layers.{l}.…`), `output.gates`, `output.embedding.{l}`,
/// `output.softmax.{weight,bias}`.
class HMRNN_API CharLMImpl : public RecurrentModel<CharLMImpl> {
 public:
  /// Throws c10::Error for a size below 1 or a probability outside [0, 1).
  explicit CharLMImpl(const CharLMOptions& options);

  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// `index` int64 [T, B] in [0, V); no state: zeros.
  CharLMOutput forward(const torch::Tensor& index, const std::optional<HMLSTMState>& state = std::nullopt,
                       const HMLSTMCall& call = {});

  /// A stream from `state` (batch 1; none: zeros): a text read symbol by symbol. See models/char_lm_stream.h.
  CharLMStream stream(const std::optional<HMLSTMState>& state = std::nullopt) const;
  /// A batched stream of `batch` ≥ 1 texts, which are read together, from zeros. Throws c10::Error for a batch below 1.
  CharLMStream streams(int64_t batch) const;
  /// A batched stream from the B rows of `state`.
  CharLMStream streams(const HMLSTMState& state) const;

  /// Reads one symbol, in [0, V), without dropout or gradients; returns the logits [V] of the next one, or, without
  /// `predict`, an undefined tensor: the output module is not computed. The LSTM core ignores `call`. Throws c10::Error
  /// for a symbol outside [0, V), and for a batched stream.
  torch::Tensor step(int64_t symbol, CharLMStream& stream, const HMLSTMStepCall& call = {}, bool predict = true) const;
  /// The same for a batched stream: `symbols` int64 [B], one for each text; logits [B, V]. A text's states have the
  /// same bits as if it was read alone; its logits may differ in the last bits, since the BLAS sums in an order that
  /// depends on the number of rows. Throws c10::Error for a symbol outside [0, V), for `symbols` of another shape or
  /// dtype, and for a stream that is not batched.
  torch::Tensor step(const torch::Tensor& symbols, CharLMStream& stream, const HMLSTMStepCall& call = {},
                     bool predict = true) const;

  CharLMOptions options;
  torch::nn::Embedding embedding{nullptr};  ///< [V, E]

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(std::optional<HMLSTMState>())},
                           {2, torch::nn::AnyValue(HMLSTMCall())})

 private:
  CharLMStream make_stream(const HMLSTMState& state, bool batched) const;
  void check_stream(const CharLMStream& stream) const;
  void step_control(const torch::Tensor& symbols, CharLMStream& stream) const;
  torch::Tensor predict_next(CharLMStream& stream, bool predict) const;
};

TORCH_MODULE(CharLM);

/// Copies the weights of `source` into `model`, which has the same core and sizes but may have more symbols: rows of
/// its embedding and of its softmax past those of `source` keep their values. Throws c10::Error naming what differs.
HMRNN_API void init_from(CharLM model, const CharLM& source);

}  // namespace hmrnn
