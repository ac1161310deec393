#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "commands.h"
#include "hmrnn/nn/hm_lstm_state.h"

/// Reads a text piece by piece and returns its boundaries, with the same computation as `eval`, `align` and `report`.
class TextReader {
 public:
  /// Bernoulli boundaries are drawn from a generator seeded with `seed`. `checkpoint` must outlive this object.
  TextReader(const hmrnn::CharLMCheckpoint& checkpoint, torch::Device device, uint64_t seed, std::string run);

  /// The signals of T symbols, CPU, float32.
  struct Result {
    torch::Tensor z;            ///< [T, L-1] ([T, 0] for the LSTM)
    torch::Tensor z_before;     ///< [L-1]: z of the step before
    torch::Tensor probability;  ///< [T, L-1]: z̃ of the detectors
  };
  /// `index`: uint8 or int64 [T]. Throws hmrnn::Error if the result is not finite.
  Result read(const torch::Tensor& index);

 private:
  const hmrnn::CharLMCheckpoint& checkpoint_;
  torch::Device device_;
  torch::Generator generator_;
  std::string run_;
  hmrnn::HMLSTMState state_;
  int64_t position_ = 0;
};
