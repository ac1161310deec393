#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"

namespace hmrnn {

/// A CharLM fed piece by piece: one sequence whose state is carried from call to call. Evaluation mode, no gradients.
class HMRNN_API CharLMStream {
 public:
  /// What a call of `feed` gave for T characters.
  struct Result {
    torch::Tensor logits;    ///< float32 [V], CPU: of the character that follows the last one
    torch::Tensor z;         ///< [T, L-1], CPU: the boundaries found ([T, 0] for the control)
    torch::Tensor z_before;  ///< [L-1]: those of the step before
  };

  /// Puts `model` into evaluation mode. Bernoulli boundaries are drawn from a generator seeded with `seed`.
  CharLMStream(CharLM model, torch::Device device, uint64_t seed);

  /// `index` int64 [T], T ≥ 1.
  Result feed(const torch::Tensor& index);

 private:
  CharLM model_;
  torch::Device device_;
  torch::Generator generator_;
  HMLSTMState state_;
};

/// A symbol drawn from softmax(logits / temperature) with `generator`; temperature 0: the most probable one.
/// `logits` [V]; throws c10::Error for a temperature below 0.
HMRNN_API int64_t sample_symbol(const torch::Tensor& logits, double temperature, torch::Generator& generator);

}  // namespace hmrnn
