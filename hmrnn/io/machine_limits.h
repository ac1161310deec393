#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

// What this process may use of the machine: containers and batch systems give out less than the machine has.

/// CPUs: those of the affinity mask, at most as many as the CPU quotas of the process's control groups (versions 1 and
/// 2, with all that these lie in) come to, rounded up. At least 1. `root`: where proc and sys are looked for; for
/// tests.
HMRNN_API int64_t usable_cpus(const std::filesystem::path& root = "/");

/// Bytes of memory that the process can still be given: the least of what the machine has available with its swap, what
/// is left below the limits of its control groups (caches of files count as free), and of its own limit of address
/// space (ulimit -v). Nothing where the system does not say.
HMRNN_API std::optional<int64_t> available_memory(const std::filesystem::path& root = "/");

}  // namespace hmrnn
