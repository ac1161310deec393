#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/models/handwriting_model.h"

namespace hmrnn {

/// Feeds sequences piece by piece to a HandwritingModel: one, or B together (batched), whose state is carried from call
/// to call. Evaluation mode, no gradients. The HM-LSTM is advanced by HMLSTM::step, so the stream is valid only for the
/// parameters' values at its creation, as an HMLSTMStream is.
class HMRNN_API HandwritingStream {
 public:
  /// The result of `feed` for T points.
  struct Result {
    torch::Tensor raw;  ///< float32 [6M + 1], batched [B, 6M + 1], CPU: of the point after the last, for read_mixture
    torch::Tensor z;    ///< [T, L-1], batched [T, B, L-1], CPU: the boundaries found (L-1 = 0 for the control)
  };

  /// Puts `model` into evaluation mode. Bernoulli boundaries are drawn from a generator seeded with `seed`.
  HandwritingStream(HandwritingModel model, torch::Device device, uint64_t seed);
  /// A batched stream of as many sequences as there are seeds, at least one; each sequence has its own generator.
  HandwritingStream(HandwritingModel model, torch::Device device, const std::vector<uint64_t>& seeds);

  /// `points` float32 [T, 3], batched [T, B, 3], T ≥ 1: standardised x and y, and the pen. Throws c10::Error
  /// for another shape or dtype.
  Result feed(const torch::Tensor& points);

  /// Whether its points have a batch dimension.
  bool batched() const { return batched_; }
  /// B; 1 of a stream that is not batched
  int64_t batch() const { return static_cast<int64_t>(generators_.size()); }
  /// A batched stream of copies of all sequences of `streams`, in this order, with their generators; see
  /// HMLSTMStream::join.
  static HandwritingStream join(const std::vector<const HandwritingStream*>& streams);
  /// A copy of sequence `row` as a stream that is not batched; throws c10::Error for a row outside [0, B).
  HandwritingStream select(int64_t row) const;

 private:
  HandwritingStream(HandwritingModel model, torch::Device device, std::vector<torch::Generator> generators,
                    bool batched);

  HandwritingModel model_;
  torch::Device device_;
  std::vector<torch::Generator> generators_;  // one for each row
  bool batched_;
  std::optional<HMLSTMStream> core_;  // empty for Core::LSTM, which has no COPY steps that a stream could skip
  HMLSTMState control_;
};

/// Samples `count` points after `start` [T, 3] (T ≥ 1); each sample is the model's next input. Returns float32
/// [count, 3]. See sample_mixture for `bias`. Throws c10::ValueError where the model computes values that are not
/// finite.
HMRNN_API torch::Tensor write_on(HandwritingStream& stream, const torch::Tensor& start, int64_t count, double bias,
                                 torch::Generator& generator);

}  // namespace hmrnn
