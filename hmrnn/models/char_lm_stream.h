#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"

namespace hmrnn {

/// The state of a text that a CharLM reads symbol by symbol: made by CharLM::stream, advanced by CharLM::step, owned by
/// the caller (several threads may read several texts with one model). What is said of HMLSTMStream holds for it.
///
///     auto stream = model->stream();
///     for (int64_t symbol : text) logits = model->step(symbol, stream);
class HMRNN_API CharLMStream {
 public:
  /// [L-1]: the boundaries that the last symbol brought ([0] for the control). Overwritten by the next step.
  torch::Tensor z() const;
  /// A copy of the recurrent layers' state (batch 1).
  HMLSTMState state() const;

 private:
  friend class CharLMImpl;
  std::optional<HMLSTMStream> core_;
  HMLSTMState control_;       // of Core::LSTM, which has no COPY to gain from
  torch::Tensor projected_;   // [L, out] W^e_l h_l of the present states
  torch::Tensor gate_terms_;  // [L, L]   column l': the share of h_l' in the gates' sums
  std::vector<char> projected_known_;
};

/// Feeds pieces of text to a stream of its own, with Bernoulli boundaries from a generator of its own.
class HMRNN_API CharLMReader {
 public:
  /// What a call of `feed` gave for T characters.
  struct Result {
    torch::Tensor logits;    ///< float32 [V], CPU: of the character that follows the last one
    torch::Tensor z;         ///< [T, L-1], CPU: the boundaries found ([T, 0] for the control)
    torch::Tensor z_before;  ///< [L-1]: those of the step before
  };

  /// Bernoulli boundaries are drawn from a generator seeded with `seed`.
  CharLMReader(CharLM model, uint64_t seed);

  /// `index` int64 [T], T ≥ 1. `boundaries` float32 [T, L-1], CPU: a segmentation to use instead of the detectors'.
  Result feed(const torch::Tensor& index, const torch::Tensor& boundaries = {});

 private:
  CharLM model_;
  torch::Generator generator_;
  CharLMStream stream_;
};

/// A symbol drawn from softmax(logits / temperature) with `generator`; temperature 0: the most probable one.
/// `logits` [V]; throws c10::Error for a temperature below 0.
HMRNN_API int64_t sample_symbol(const torch::Tensor& logits, double temperature, torch::Generator& generator);

}  // namespace hmrnn
