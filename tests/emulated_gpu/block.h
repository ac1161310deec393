// CUDA's functions for kernels, implemented for the host on tests/support/emulated_grid.h.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstring>
#include <functional>
#include <stdexcept>

#include "device.h"
#include "support/emulated_grid.h"

namespace emulated_gpu {

/// Calls f(lanes) once per warp, with pointers to the arguments of all lanes; no lane continues before it returns.
template <class Lane, class F>
void with_warp(Lane& own, F f) {
  const auto* all = gather(reinterpret_cast<unsigned long long>(&own));
  if (here().thread.x % 32 == 0) {
    Lane* lanes[32];
    for (int i = 0; i < 32; ++i) lanes[i] = reinterpret_cast<Lane*>(all[i]);
    f(lanes);
  }
  exchange(0, 0);
}

/// Runs a kernel's body in every thread; an error ends the program.
inline void launch_grid(const dim3& blocks, const dim3& threads, size_t shared, bool together,
                        const std::function<void()>& body) {
  try {
    run_grid({{blocks.x, blocks.y, blocks.z}, {threads.x, threads.y, threads.z}, shared, together}, body);
  } catch (const std::logic_error& e) {
    fail(e.what());
  }
}

}  // namespace emulated_gpu

inline void __syncthreads() { emulated_gpu::barrier(); }
/// Whether p is outside the block's dynamic shared memory; static shared memory is not known here.
inline bool __isGlobal(const void* p) {
  const auto& me = emulated_gpu::here();
  const auto* first = static_cast<const char*>(me.shared);
  return p < first || p >= first + me.shared_bytes;
}
#define __builtin_assume(x) ((x) ? void() : emulated_gpu::fail("this does not hold: " #x))
inline float __fdividef(float a, float b) { return a / b; }

template <class T>
T __shfl_xor_sync(unsigned, T value, int mask) {
  static_assert(sizeof(T) <= 8);
  unsigned long long bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = emulated_gpu::exchange(bits, mask);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}
