#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>

#include "hmrnn/export.h"
#include "hmrnn/models/handwriting_model.h"

namespace hmrnn {

/// A HandwritingModel fed piece by piece: one sequence whose state is carried from call to call. Evaluation mode, no
/// gradients. The HM-LSTM is stepped by HMLSTM::step, so that what is said of HMLSTMStream holds.
class HMRNN_API HandwritingStream {
 public:
  /// What a call of `feed` gave for T points.
  struct Result {
    torch::Tensor raw;  ///< float32 [6M + 1], CPU: of the point that follows the last one, for read_mixture
    torch::Tensor z;    ///< [T, L-1], CPU: the boundaries found ([T, 0] for the control)
  };

  /// Puts `model` into evaluation mode. Bernoulli boundaries are drawn from a generator seeded with `seed`.
  HandwritingStream(HandwritingModel model, torch::Device device, uint64_t seed);

  /// `points` float32 [T, 3], T ≥ 1: standardised x and y, and the pen.
  Result feed(const torch::Tensor& points);

 private:
  HandwritingModel model_;
  torch::Device device_;
  torch::Generator generator_;
  std::optional<HMLSTMStream> core_;  // empty for Core::LSTM, which has no COPY to gain from
  HMLSTMState control_;
};

/// Lets the model write `count` points after `start` [T, 3] (T ≥ 1), each fed back: float32 [count, 3]. See
/// sample_mixture for `bias`. Throws c10::ValueError where the model computes values that are not finite.
HMRNN_API torch::Tensor write_on(HandwritingStream& stream, const torch::Tensor& start, int64_t count, double bias,
                                 torch::Generator& generator);

}  // namespace hmrnn
