#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>

// What the benchmark asks of the machine: its GEMM ceiling and the memory that a piece of work takes.

namespace bench {

/// GFLOP/s of at::mm, [6400, 512] × [512, 2048] in `dtype` on `device`, with LibTorch's present thread count: the best
/// of a few.
double gemm_ceiling(torch::ScalarType dtype, torch::Device device);

/// Bytes by which the memory in use rises above what it was, at its highest, while `work` runs: the process's resident
/// memory, or what LibTorch has taken of a GPU's. nullopt where the kernel does not let a process reset its peak.
std::optional<int64_t> peak_memory(const std::function<void()>& work, torch::Device device);

/// Seconds that `work` takes, until `device` is done with it.
double seconds(const std::function<void()>& work, torch::Device device);

}  // namespace bench
