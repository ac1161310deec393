#pragma once

#include <torch/types.h>

#include <cstdint>

#include "hmrnn/models/char_lm.h"

namespace hmrnn::test {

/// Options of a character model of 7 symbols with three layers.
inline CharLMOptions small_model(Core core = Core::HMLSTM) {
  return CharLMOptions(7).embedding_size(5).hidden_sizes({6, 4, 3}).output_embedding_size(8).core(core);
}

/// Random symbols [steps, batch] of int64 for it.
inline torch::Tensor random_symbols(int64_t steps, int64_t batch) {
  return torch::randint(7, {steps, batch}, torch::kInt64);
}

}  // namespace hmrnn::test
