#pragma once

#include <cstdint>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

/// How the learning rate goes on after its warm-up.
enum class ScheduleKind {
  Plateau,   ///< divided where the validation loss stops falling
  Cosine,    ///< half a cosine down to `final_rate`, over a length that is known (Loshchilov and Hutter, 2017)
  Constant,  ///< as it is
};

/// Options of LearningRateSchedule. Rates are Adam's, lengths are in updates.
struct LearningRateOptions {
  ScheduleKind kind = ScheduleKind::Plateau;  ///< how it goes on
  double rate = 0.002;                        ///< the highest
  int64_t warmup = 0;                         ///< updates over which it rises linearly to `rate`; 0: none
  double final_rate = 0;                      ///< Cosine: of the last update
  int64_t length = 0;    ///< Cosine: updates from the first to the last, warm-up included; at least 1
  int64_t patience = 1;  ///< Plateau: evaluations in a row without improvement before a drop
  double divisor = 50;   ///< Plateau: what a drop divides by
  int64_t drops = 1;     ///< Plateau: how many there are
};

/// The learning rate of every update.
class HMRNN_API LearningRateSchedule {
 public:
  /// What a resume needs.
  struct State {
    std::optional<double> best;       ///< lowest validation loss so far
    int64_t without_improvement = 0;  ///< evaluations since, or since the last drop
    int64_t drops = 0;                ///< made so far
  };

  /// Throws c10::Error for a negative length or a cosine without one.
  explicit LearningRateSchedule(const LearningRateOptions& options);

  /// Takes the loss of an evaluation in; a loss that is not finite is no improvement. Returns true if the rate drops.
  bool update(double loss);
  /// Of update `step`, counted from 0.
  double rate(int64_t step) const;
  /// Plateau: after the last drop, `patience` evaluations have brought no improvement again. The other kinds never are.
  bool exhausted() const;

  /// As they were given.
  const LearningRateOptions& options() const { return options_; }
  /// What a resume needs.
  const State& state() const { return state_; }
  /// Goes on from there.
  void set_state(const State& state) { state_ = state; }

 private:
  LearningRateOptions options_;
  State state_;
};

/// Slope annealing: a = min(max, 1 + rate · epochs), with the number of completed epochs (PAPER.md). A rate of 0
/// keeps 1.
HMRNN_API double annealed_slope(double rate, double max, int64_t completed_epochs);

}  // namespace hmrnn
