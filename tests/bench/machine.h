#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>

// Measurements of the machine: its GEMM ceiling, and the memory and time of a piece of work.

namespace bench {

/// GFLOP/s of at::mm, [6400, 512] × [512, 2048] in `dtype` on `device`, with LibTorch's current number of threads: the
/// best of several runs.
double gemm_ceiling(torch::ScalarType dtype, torch::Device device);

/// Bytes by which the peak memory during `work` exceeds the memory before it: resident memory of the process, or
/// LibTorch's allocations on a GPU. nullopt if the kernel does not let a process reset its peak.
std::optional<int64_t> peak_memory(const std::function<void()>& work, torch::Device device);

/// Seconds that `work` takes, including the wait for `device`.
double seconds(const std::function<void()>& work, torch::Device device);

}  // namespace bench
