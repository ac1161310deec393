/// Checks of the arguments of HMLSTM and StackedLSTM: without them a state of another model or batch would be read past
/// its end, or broadcast silently. Internal.
#pragma once

#include <torch/types.h>

#include <vector>

#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/ops/hm_lstm.h"

namespace hmrnn {

// All errors are c10::Error that begins with `module` and names the argument, what was expected and what was found.

/// The window of a sequence `input` [T, B, input_size]; its state is not set.
WindowInput sequence_window(const char* module, const torch::Tensor& input, int64_t input_size);

/// The same for rows of a table [V, input_size]: `index` int64 [T, B].
WindowInput table_window(const char* module, const torch::Tensor& table, const torch::Tensor& index,
                         int64_t input_size);

/// T and B of a window made by these.
int64_t window_steps(const WindowInput& window);
int64_t window_batch(const WindowInput& window);

/// `sizes` are the units of each layer; `like` a parameter; `boundaries` L-1, or 0 for layers without boundaries.
void check_window(const char* module, const WindowInput& window, const HMLSTMState& state, const HMLSTMCall& call,
                  const std::vector<int64_t>& sizes, int64_t boundaries, const torch::Tensor& like);

}  // namespace hmrnn
