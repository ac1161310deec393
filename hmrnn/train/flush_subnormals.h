#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// While it lives, subnormal numbers (below 1.2e-38 in float32) count as 0, on the thread that made it and on all of
/// LibTorch's threads: Adam's moments of a weight without gradients decay into them, and each operation on one costs a
/// CPU some hundred cycles. At its end every thread has the mode again that it had before, which is the host
/// program's. On CPUs other than x86-64 and 64-bit ARM it does nothing.
class HMRNN_API FlushSubnormals {
 public:
  FlushSubnormals();
  ~FlushSubnormals();
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

 private:
  std::vector<uint64_t> before_;  ///< a thread's floating point mode, by its number in the team
};

}  // namespace hmrnn
