#pragma once

#include <cstdint>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

/// The learning rate: `initial`, divided once by `divisor` when the validation loss has not fallen for `patience`
/// evaluations in a row. The best loss so far decides, not the last one.
class HMRNN_API PlateauSchedule {
 public:
  /// What a resume needs.
  struct State {
    std::optional<double> best;       ///< lowest validation loss so far
    int64_t without_improvement = 0;  ///< evaluations since, or since the drop
    bool dropped = false;             ///< the rate has dropped
  };

  /// `patience` ≥ 1 evaluations.
  PlateauSchedule(double initial, int64_t patience, double divisor = 50);

  /// Takes the loss of an evaluation in; a loss that is not finite is no improvement. Returns true if the rate dropped.
  bool update(double loss);
  /// Of the steps to come.
  double learning_rate() const { return state_.dropped ? initial_ / divisor_ : initial_; }
  /// After the drop, `patience` evaluations have brought no improvement again.
  bool exhausted() const { return state_.dropped && state_.without_improvement >= patience_; }

  /// What a resume needs.
  const State& state() const { return state_; }
  /// Goes on from there.
  void set_state(const State& state) { state_ = state; }

 private:
  double initial_;
  int64_t patience_;
  double divisor_;
  State state_;
};

/// Slope annealing: a = min(max, 1 + rate · epochs), with the number of completed epochs (PAPER.md). A rate of 0
/// keeps 1.
HMRNN_API double annealed_slope(double rate, double max, int64_t completed_epochs);

}  // namespace hmrnn
