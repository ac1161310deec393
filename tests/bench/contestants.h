#pragma once

#include <torch/types.h>

#include <vector>

#include "bench/contest.h"

// The groups of contestants. Each has torch::nn's LSTM of the same size as its baseline, in every requested dtype.

namespace bench {

/// Conditions of a contest.
struct Ground {
  torch::Device device = torch::kCPU;
  bool bfloat16 = false;     ///< in addition to float32
  bool persistent = true;    ///< on a GPU: also the persistent kernel, if the window fits
  bool regularised = false;  ///< also layers and models with all regularisers
};

/// Forward and backward pass of the recurrent layers over inputs [T, B, 128] that require gradients: HMLSTM with drawn
/// boundaries and straight-through gradients (every layer's h gets a gradient, as from the output module) against
/// torch::nn::LSTM. On a GPU, where the work does not depend on the boundaries: one pair of rates, replayed from a
/// graph and launched; up to 512 units also HMLSTMCell, step by step with autograd.
std::vector<Contestant> core_group(const Size& size, const Ground& ground);

/// CharLM with both cores, loss and backward pass, against torch::nn::LSTM between an embedding and a linear softmax
/// layer.
std::vector<Contestant> model_group(const Size& size, const Ground& ground);

/// The same with clipping and Adam: a complete update. On a CPU the boundaries are given, at the rates that steering
/// reaches, and have gradients, as in training; on a GPU, where the work does not depend on them, they are the model's
/// own.
std::vector<Contestant> training_group(const Size& size, const Ground& ground);

/// The cost of subnormal numbers on a CPU: complete updates of CharLM with ordinary Adam moments (the baseline), and
/// with the final, subnormal moments of parameters without gradients: those of dead boundary detectors, or of all
/// layers above a detector that never fires. Each with and without FlushSubnormals; also the optimiser alone.
std::vector<Contestant> subnormal_group(const Size& size);

/// `steps` single steps at batch 1 without autograd: HMLSTM against a loop of torch::nn::LSTMCell.
std::vector<Contestant> streaming_group(int64_t units, int64_t steps, bool bfloat16);

/// A service: 1, 8 and 64 streams that are stepped at once, at the rates that steering reaches. The baseline is one
/// HM-LSTM stream, so that the ratios compare streams stepped at once with as many stepped one after the other. Also a
/// loop of torch::nn::LSTMCell at the same batch sizes.
std::vector<Contestant> streams_group(int64_t units, int64_t steps);

}  // namespace bench
