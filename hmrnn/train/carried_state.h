#pragma once

#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// The recurrent state that a training task carries from window to window.
class HMRNN_API CarriedState {
 public:
  /// The state that the next window starts from.
  const HMLSTMState& current() const { return current_; }
  void reset(HMLSTMState state) { current_ = std::move(state); }

  /// What the window at hand left; detached.
  void leave(const HMLSTMState& state) { pending_ = state.detach(); }
  /// Carries it on, or zeros where `skipped` (0-d float, 1) says so (TrainingTask::settle).
  void settle(const torch::Tensor& skipped);

  /// The current state as `state.h.L`, `state.c.L`, `state.z`, on the CPU.
  void save(SafeTensors& file) const;
  /// Takes it up in the dtype and on the device of `like`, whose shapes it must have, but for the number of rows if
  /// `any_batch`. Throws hmrnn::Error naming `where` and the tensor that is missing or does not fit.
  void load(const SafeTensors& file, const std::string& where, const HMLSTMState& like, bool any_batch = false);

 private:
  HMLSTMState current_, pending_;
};

}  // namespace hmrnn
