#pragma once

#include <torch/types.h>

#include <cstdint>

#include "examples/program/train_options.h"

/// Memory of the host that a training takes at the very least, in bytes.
struct LeastMemory {
  int64_t weights =
      0;  ///< on the CPU with gradients, Adam's two moments and the copy that is saved; else with that copy
  int64_t window = 0;  ///< what a window's states and outputs take; 0 where they lie on another device
};

/// Counts matrices alone, and no scratch space. `input_size`: of the first layer; `symbols`: rows of its table, 0 for
/// real inputs; `outputs`: of the softmax or the mixture.
LeastMemory least_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                         torch::Device device);

/// Throws hmrnn::Error with sizes and bytes where the machine, the process's control group or its limits cannot hold
/// that: before anything is written, and before the system ends the process without a word.
void require_memory(const CommonSettings& settings, int64_t input_size, int64_t symbols, int64_t outputs,
                    torch::Device device);
