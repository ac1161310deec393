#pragma once

#include <torch/types.h>

#include <cstdint>

#include "examples/program/train_options.h"

/// A lower bound of the host memory that training needs, in bytes, as float64, which no sizes overflow.
struct LeastMemory {
  /// Weights and a copy for saving; if training is on the CPU, also gradients and Adam's two moments.
  double weights = 0;
  double window = 0;      ///< states and outputs of one window; 0 if they are on another device
  double evaluation = 0;  ///< the same of one window of an evaluation
};

/// Counts only matrices, without scratch memory. `input_size`: features of the first layer's input; `symbols`: rows of
/// the embedding, 0 for real-valued inputs; `outputs`: size of the softmax or of the mixture; `evaluated`: rows times
/// steps of a window of an evaluation in this process.
LeastMemory least_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                         int64_t evaluated, torch::Device device);

/// `hint`: what makes an evaluation need less, for the message, or empty. Throws hmrnn::Error with sizes and bytes if
/// the memory of the machine, of the process's control group or of its limits is less than this: called before anything
/// is written, since the system would kill the process without a message.
void require_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                    int64_t evaluated, const std::string& hint, torch::Device device);
