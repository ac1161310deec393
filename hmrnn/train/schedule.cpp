#include "hmrnn/train/schedule.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hmrnn {

LearningRateSchedule::LearningRateSchedule(const LearningRateOptions& options) : options_(options) {
  TORCH_CHECK(options.warmup >= 0 && options.patience >= 1 && options.drops >= 0,
              "LearningRateSchedule: warmup and drops must not be negative, patience must be at least 1");
  TORCH_CHECK(options.kind != ScheduleKind::Cosine || options.length >= 1,
              "LearningRateSchedule: a cosine needs its length");
}

bool LearningRateSchedule::update(double loss) {
  if (std::isfinite(loss) && (!state_.best || loss < *state_.best)) {
    state_.best = loss;
    state_.without_improvement = 0;
    return false;
  }
  ++state_.without_improvement;
  if (options_.kind != ScheduleKind::Plateau || state_.drops >= options_.drops ||
      state_.without_improvement < options_.patience) {
    return false;
  }
  ++state_.drops;
  state_.without_improvement = 0;
  return true;
}

double LearningRateSchedule::rate(int64_t step) const {
  const auto at = static_cast<double>(step), warmup = static_cast<double>(options_.warmup);
  const double rise = step < options_.warmup ? (at + 1) / warmup : 1;
  switch (options_.kind) {
    case ScheduleKind::Plateau:
      // Repeated division, so that each drop divides the current rate exactly; a power of the divisor would round
      // differently.
      {
        double rate = options_.rate;
        for (int64_t i = 0; i < state_.drops; ++i) {
          const double next = rate / options_.divisor;
          if (next == rate) break;  // 0, or a divisor of 1; the number of drops comes from a file
          rate = next;
        }
        return rise * rate;
      }
    case ScheduleKind::Cosine: {
      const auto last = static_cast<double>(std::max<int64_t>(options_.length - 1 - options_.warmup, 1));
      const double done = std::clamp((at - warmup) / last, 0.0, 1.0);
      const double share = (1 + std::cos(std::numbers::pi * done)) / 2;
      return rise * (options_.final_rate + (options_.rate - options_.final_rate) * share);
    }
    case ScheduleKind::Constant:
      break;
  }
  return rise * options_.rate;
}

bool LearningRateSchedule::exhausted() const {
  return options_.kind == ScheduleKind::Plateau && state_.drops >= options_.drops &&
         state_.without_improvement >= options_.patience;
}

double annealed_slope(double rate, double max, int64_t completed_epochs) {
  return std::min(max, 1 + rate * static_cast<double>(completed_epochs));
}

}  // namespace hmrnn
