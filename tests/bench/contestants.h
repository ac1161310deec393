#pragma once

#include <torch/types.h>

#include <vector>

#include "bench/contest.h"

// The groups of contestants. Each has torch::nn's LSTM of the same size as its baseline, in every dtype asked for.

namespace bench {

/// Where a contest takes place.
struct Ground {
  torch::Device device = torch::kCPU;
  bool bfloat16 = false;     ///< as well as float32
  bool persistent = true;    ///< on a GPU, also the kernel of whole windows, where it fits
  bool regularised = false;  ///< layers and models also under every regulariser
};

/// The recurrent layers over inputs [T, B, 128] that require gradients, forward and backward: HMLSTM under drawn
/// boundaries with straight-through gradients (gradients come from above to every layer, as from the output module)
/// against torch::nn::LSTM. On a GPU, whose operator does the same work whatever the boundaries, at one pair of rates,
/// replayed from a graph and launched plainly; up to 512 units also HMLSTMCell, stepped by autograd.
std::vector<Contestant> core_group(const Size& size, const Ground& ground);

/// CharLM, loss and backward, both cores, against torch::nn::LSTM between an embedding and a linear softmax layer.
std::vector<Contestant> model_group(const Size& size, const Ground& ground);

/// The same with clipping and Adam: a whole update of training. For a GPU.
std::vector<Contestant> training_group(const Size& size, const Ground& ground);

/// `steps` single steps at batch 1 without autograd: HMLSTM against a loop of torch::nn::LSTMCell.
std::vector<Contestant> streaming_group(int64_t units, int64_t steps, bool bfloat16);

}  // namespace bench
