#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// Where the time of a piece of work goes, by torch::profiler (on a GPU by CUPTI, kernels of graphs among them).

namespace bench {

/// All calls of one name.
struct TimeOf {
  std::string name;    ///< a GPU's kernel, copy or fill; on the CPU an operator of LibTorch
  int64_t calls = 0;   ///< of one run
  double seconds = 0;  ///< of one run; on the CPU without the operators it calls
};

/// What `repeats` runs of `work` spent their time on, in one run of them, the longest first. nullopt where the profiler
/// saw nothing of the device (no CUPTI, or one that may not be used).
std::optional<std::vector<TimeOf>> times_by_name(const std::function<void()>& work, int repeats, torch::Device device);

}  // namespace bench
