#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Treats subnormal numbers (below 1.2e-38 in float32) as 0 for its lifetime, on the calling thread and on LibTorch's
/// threads: Adam's moments of a weight without gradients decay to subnormal numbers, and each operation on one takes
/// some hundred cycles on a CPU. The destructor restores every thread's previous mode, which belongs to the host
/// program. No effect on CPUs other than x86-64 and 64-bit ARM.
class HMRNN_API FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  std::vector<uint64_t> before_;  ///< floating-point mode of each thread, by its number in the team
};

}  // namespace hmrnn
