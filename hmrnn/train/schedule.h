#pragma once

#include <cstdint>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

/// The learning rate after the warm-up.
enum class ScheduleKind {
  Plateau,   ///< divided when the validation loss stops falling
  Cosine,    ///< half a cosine down to `final_rate` over a known length (Loshchilov and Hutter, 2017)
  Constant,  ///< unchanged
};

/// Options of LearningRateSchedule. Rates are Adam's; lengths are in updates.
struct LearningRateOptions {
  ScheduleKind kind = ScheduleKind::Plateau;  ///< after the warm-up
  double rate = 0.002;                        ///< the highest rate
  int64_t warmup = 0;                         ///< updates of the linear increase to `rate`; 0: none
  double final_rate = 0;                      ///< Cosine: rate of the last update
  int64_t length = 0;                         ///< Cosine: number of updates, warm-up included; at least 1
  int64_t patience = 1;                       ///< Plateau: consecutive evaluations without improvement before a drop
  double divisor = 50;                        ///< Plateau: divisor of each drop
  int64_t drops = 1;                          ///< Plateau: number of drops
};

/// Computes the learning rate of every update.
class HMRNN_API LearningRateSchedule {
 public:
  /// All that a resume needs.
  struct State {
    std::optional<double> best = {};  ///< lowest validation loss so far
    int64_t without_improvement = 0;  ///< evaluations since the best one or the last drop
    int64_t drops = 0;                ///< drops so far
  };

  /// Throws c10::Error for a negative length, or for a cosine without a length.
  explicit LearningRateSchedule(const LearningRateOptions& options);

  /// Processes the loss of an evaluation; a loss that is not finite is no improvement. Returns true if the rate drops.
  bool update(double loss);
  /// Learning rate of update `step`, counted from 0.
  double rate(int64_t step) const;
  /// Plateau: `patience` evaluations after the last drop brought no improvement either. False for the other kinds.
  bool exhausted() const;

  /// The options given to the constructor.
  const LearningRateOptions& options() const { return options_; }
  /// All that a resume needs.
  const State& state() const { return state_; }
  /// Continues from a saved state.
  void set_state(const State& state) { state_ = state; }

 private:
  LearningRateOptions options_;
  State state_;
};

/// Slope annealing: a = min(max, 1 + rate · epochs), with the number of completed epochs. With a rate of 0, a stays 1.
HMRNN_API double annealed_slope(double rate, double max, int64_t completed_epochs);

}  // namespace hmrnn
