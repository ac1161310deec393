#pragma once

#include <vector>

#include "bench/contest.h"

// The groups of contestants. Each has torch::nn's LSTM of the same size as its baseline, in every dtype asked for.

namespace bench {

/// The recurrent layers over inputs [T, B, 128] that require gradients, forward and backward: HMLSTM under drawn
/// boundaries with straight-through gradients (gradients come from above to every layer, as from the output module)
/// against torch::nn::LSTM.
std::vector<Contestant> core_group(const Size& size, bool bfloat16);

/// CharLM, loss and backward, both cores, against torch::nn::LSTM between an embedding and a linear softmax layer.
std::vector<Contestant> model_group(const Size& size, bool bfloat16);

/// `steps` single steps at batch 1 without autograd: HMLSTM against a loop of torch::nn::LSTMCell.
std::vector<Contestant> streaming_group(int64_t units, int64_t steps, bool bfloat16);

}  // namespace bench
