#include "hmrnn/train/schedule.h"

#include <algorithm>
#include <cmath>

namespace hmrnn {

PlateauSchedule::PlateauSchedule(double initial, int64_t patience, double divisor)
    : initial_(initial), patience_(patience), divisor_(divisor) {}

bool PlateauSchedule::update(double loss) {
  if (std::isfinite(loss) && (!state_.best || loss < *state_.best)) {
    state_.best = loss;
    state_.without_improvement = 0;
    return false;
  }
  ++state_.without_improvement;
  if (state_.dropped || state_.without_improvement < patience_) return false;
  state_.dropped = true;
  state_.without_improvement = 0;
  return true;
}

double annealed_slope(double rate, double max, int64_t completed_epochs) {
  return std::min(max, 1 + rate * static_cast<double>(completed_epochs));
}

}  // namespace hmrnn
