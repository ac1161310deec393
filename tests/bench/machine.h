#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <optional>

// What the benchmark asks of the machine: its GEMM ceiling and the memory that a piece of work takes.

namespace bench {

/// GFLOP/s of at::mm, [6400, 512] × [512, 2048] in `dtype`, with LibTorch's present thread count: the best of a few.
double gemm_ceiling(torch::ScalarType dtype);

/// Bytes by which the resident memory rises above what it was, at its highest, while `work` runs. nullopt where the
/// kernel does not let a process reset its peak.
std::optional<int64_t> peak_memory(const std::function<void()>& work);

/// Seconds that `work` takes.
double seconds(const std::function<void()>& work);

}  // namespace bench
