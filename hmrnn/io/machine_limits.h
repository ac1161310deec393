#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

// CPUs and memory that this process may use: containers and batch systems allow less than the machine has.

/// Number of usable CPUs: those of the affinity mask, limited by the CPU quotas, rounded up, of the process's control
/// groups and of their parents (versions 1 and 2). At least 1. `root`: the folder that contains proc and sys; for
/// tests.
HMRNN_API int64_t usable_cpus(const std::filesystem::path& root = "/");

/// Bytes of memory that the process can still allocate: the minimum of the machine's available memory plus free swap,
/// what is left below the limits of its control groups (inactive file cache counts as free), and what is left below its
/// limit of address space (ulimit -v). Empty if the system reports none of these.
HMRNN_API std::optional<int64_t> available_memory(const std::filesystem::path& root = "/");

}  // namespace hmrnn
