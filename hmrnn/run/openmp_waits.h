#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Lets LibTorch's OpenMP threads spin for about 0.1 ms instead of 10 ms or more while they wait for work, after which
/// they sleep. A thread that spins uses up its share of a CPU that it has in common with another process: when work
/// comes, the system runs the other process, and the calling thread waits for the end of its time slice. Measured with
/// two threads beside a busy process, a training of 3×128 (Intel Xeon, two CPUs, two runs each): 11,000 and 12,000
/// characters/s without this call, 21,000 and 22,000 with it, and without the busy process 41,000 and 45,000 against
/// 44,000 and 43,000.
///
/// libgomp reads this setting from the environment when it is loaded, so the call starts the program again in the same
/// process (execv), with GOMP_SPINCOUNT set. To be called first in main, with its argv, by programs that compute for
/// seconds or more: loading LibTorch twice takes some 0.2 s. Does nothing if GOMP_SPINCOUNT or OMP_WAIT_POLICY is set,
/// with one CPU or OMP_NUM_THREADS=1 (which torchrun sets), outside Linux, and where the program cannot be started
/// again; then it returns.
HMRNN_API void shorten_openmp_waits(char** argv);

}  // namespace hmrnn
