// Runs of a group of processes.
#pragma once

#include <type_traits>

#include "run/in_group.h"
#include "train/trainer_fixture.h"

namespace hmrnn::test {

/// Trains a run in `size` processes.
template <typename Run>
std::vector<StopReason> train_in_group(int64_t size, const Run& run, const std::filesystem::path& folder, bool resume) {
  std::vector<StopReason> reasons(static_cast<size_t>(size));
  in_group(size, [&](const ProcessGroup& group) {
    auto own = run;
    own.trainer.group = &group;
    own.rank = group.rank();
    own.ranks = size;
    // Disturbances happen in the last process alone, and all processes must react.
    const bool last = group.rank() == size - 1;
    if (run.stop) own.stop = [&run, last](const Trainer& trainer) { return last && run.stop(trainer); };
    if constexpr (std::is_same_v<Run, SmallRun>) {
      if (!last) own.bad_windows.clear();
    }
    reasons[static_cast<size_t>(group.rank())] = own(folder, resume);
  });
  return reasons;
}

}  // namespace hmrnn::test
