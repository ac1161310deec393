/// What HMLSTM and StackedLSTM check of a call before they compute: a state of another model or batch would otherwise
/// be read past its end, or broadcast silently. Internal.
#pragma once

#include <torch/types.h>

#include <vector>

#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// `input` is the sequence or the table, `steps` and `batch` the window's; `sizes` the units of each layer; `like` a
/// parameter; `boundaries` L-1, or 0 for layers without boundaries. Throws c10::Error that begins with `module` and
/// names the argument, what was expected and what was found.
void check_window(const char* module, const torch::Tensor& input, int64_t steps, int64_t batch,
                  const HMLSTMState& state, const HMLSTMCall& call, const std::vector<int64_t>& sizes,
                  int64_t boundaries, const torch::Tensor& like);

}  // namespace hmrnn
