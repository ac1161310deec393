#pragma once

#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// The recurrent state that a training task carries from window to window, at fixed addresses, so that a graph can read
/// and write it.
class HMRNN_API CarriedState {
 public:
  /// Allocates memory for at most `zeros.batch()` sequences, with its dtype and device, and starts that many sequences.
  void reserve(HMLSTMState zeros);
  /// Starts `rows` sequences with zeros.
  void start(int64_t rows);

  /// The initial state of the next window.
  const HMLSTMState& current() const { return current_; }
  /// Sets the state after the current window, with as many rows as current(); detaches it.
  void set_next(const HMLSTMState& state) { pending_ = state.detach(); }
  /// Copies that state into current(), or zeros if `not_finite` (0-d float) is 1 (see TrainingTask::settle).
  void settle(const torch::Tensor& not_finite);

  /// Stores the current state as `state.h.L`, `state.c.L`, `state.z`, on the CPU.
  void save(SafeTensors& file) const;
  /// Restores a saved state into the reserved memory. Its sizes must be those of `reserve`, but with `any_batch` it may
  /// have fewer rows. Throws hmrnn::Error naming `where` and a tensor that is missing or does not fit.
  void load(const SafeTensors& file, const std::string& where, bool any_batch = false);

 private:
  HMLSTMState reserved_;  ///< all rows that were reserved
  HMLSTMState current_;   ///< its first rows
  HMLSTMState pending_;
};

}  // namespace hmrnn
