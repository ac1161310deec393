#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"

namespace hmrnn {

/// The state of a text that a CharLM reads symbol by symbol, or of B texts that it reads together (batched): made by
/// CharLM::stream or CharLM::streams, advanced by CharLM::step, owned by the caller (several threads may read several
/// texts with one model). Valid only for the parameters' values at its creation, as an HMLSTMStream is.
///
///     auto stream = model->stream();
///     for (int64_t symbol : text) logits = model->step(symbol, stream);
///
///     auto batch = CharLMStream::join({&stream, &another});
///     logits = model->step(torch::tensor({3, 5}, torch::kInt64), batch);  // [2, V]
class HMRNN_API CharLMStream {
 public:
  /// Whether its tensors have a batch dimension.
  bool batched() const { return batched_; }
  /// B; 1 of a stream that is not batched
  int64_t batch() const { return projected_.size(0); }
  /// [L-1], batched [B, L-1]: the boundaries that the last step decided ([0] or [B, 0] for the control). Overwritten by
  /// the next step.
  torch::Tensor z() const;
  /// A copy of the recurrent layers' state (batch B).
  HMLSTMState state() const;

  /// A batched stream of copies of all texts of `streams`, in this order; see HMLSTMStream::join.
  static CharLMStream join(const std::vector<const CharLMStream*>& streams);
  /// A copy of text `row` as a stream that is not batched; throws c10::Error for a row outside [0, B).
  CharLMStream select(int64_t row) const;
  /// A batched stream of copies of these texts, in this order, at least one; a text may occur several times.
  CharLMStream select_rows(const std::vector<int64_t>& rows) const;
  /// A copy of each text as a stream that is not batched.
  std::vector<CharLMStream> split() const;

 private:
  friend class CharLMImpl;
  /// Copies these rows of all members but core_.
  CharLMStream take_rows(const std::vector<int64_t>& rows, bool batched) const;

  bool batched_ = false;
  std::optional<HMLSTMStream> core_;
  HMLSTMState control_;                // of Core::LSTM, which has no COPY steps that a stream could skip
  torch::Tensor projected_;            // [B, L, out] W^e_l h_l of the present states
  torch::Tensor gate_terms_;           // [B, L, L]   column l': the term of h_l' in the gates' sums
  std::vector<char> projected_known_;  // [B, L]      whether projected_ and gate_terms_ are those of the present state
};

/// Feeds a text piece by piece to a stream; draws Bernoulli boundaries from its own generator.
class HMRNN_API CharLMReader {
 public:
  /// The result of `feed` for T characters.
  struct Result {
    torch::Tensor logits;    ///< float32 [V], CPU: of the character that follows the last one
    torch::Tensor z;         ///< [T, L-1], CPU: the boundaries found ([T, 0] for the control)
    torch::Tensor z_before;  ///< [L-1], CPU: the boundaries of the step before the first of these
  };

  /// Bernoulli boundaries are drawn from a generator seeded with `seed`.
  CharLMReader(CharLM model, uint64_t seed);

  /// `index` int64 [T], T ≥ 1. `boundaries` float32 [T, L-1], CPU: a segmentation to use instead of the detectors'.
  /// Throws c10::Error for `index` of another shape or dtype, and for a symbol outside [0, V).
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
