#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// Profiles work with torch::profiler (on a GPU through CUPTI, including the kernels of graphs).

namespace bench {

/// All calls with one name.
struct TimeOf {
  std::string name;    ///< on a GPU a kernel, copy or fill; on the CPU an operator of LibTorch
  int64_t calls = 0;   ///< per run
  double seconds = 0;  ///< per run; on the CPU without the operators that it calls
};

/// Mean times over `repeats` runs of `work`, the longest first. nullopt if the profiler saw no activity of the device
/// (CUPTI missing or not permitted).
std::optional<std::vector<TimeOf>> times_by_name(const std::function<void()>& work, int repeats, torch::Device device);

}  // namespace bench
