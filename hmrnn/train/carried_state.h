#pragma once

#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// The recurrent state that a training task carries from window to window, in memory that stays where it is, so that a
/// graph may read and write it.
class HMRNN_API CarriedState {
 public:
  /// Takes memory for at most `zeros.batch()` sequences, in its dtype and on its device, and starts as many.
  void reserve(HMLSTMState zeros);
  /// Starts `rows` sequences from zeros.
  void start(int64_t rows);

  /// The state that the next window starts from.
  const HMLSTMState& current() const { return current_; }
  /// The state after the current window, of as many rows as it started from; detached.
  void leave(const HMLSTMState& state) { pending_ = state.detach(); }
  /// Carries it on, or zeros where `skipped` (0-d float, 1) says so (TrainingTask::settle).
  void settle(const torch::Tensor& skipped);

  /// The current state as `state.h.L`, `state.c.L`, `state.z`, on the CPU.
  void save(SafeTensors& file) const;
  /// Takes it up, in the memory reserved, whose sizes it must have, but for the number of rows (at most that of
  /// `reserve`) if `any_batch`. Throws hmrnn::Error naming `where` and the tensor that is missing or does not fit.
  void load(const SafeTensors& file, const std::string& where, bool any_batch = false);

 private:
  HMLSTMState room_;     ///< all rows
  HMLSTMState current_;  ///< the first rows of it
  HMLSTMState pending_;
};

}  // namespace hmrnn
