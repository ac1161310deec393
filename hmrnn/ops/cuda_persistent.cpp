#include "hmrnn/ops/cuda_persistent.h"

#include <atomic>

namespace hmrnn {

namespace {

std::atomic<bool> wanted{false};
std::atomic<int64_t> windows{0};

}  // namespace

void set_cuda_persistent(bool on) { wanted = on; }
bool cuda_persistent() { return wanted; }
int64_t cuda_persistent_windows() { return windows; }
void count_cuda_persistent_window() { ++windows; }

}  // namespace hmrnn
