// A block of threads for code written for CUDA and compiled for the host. Each thread is a fiber; a warp's lanes meet
// at shuffles, the block's threads at barriers.
#pragma once

#include <vector_types.h>

#include <cstddef>
#include <cstring>
#include <functional>

#include "device.h"

namespace emulated_gpu {

struct ThreadState {
  uint3 thread, block;
  dim3 threads, blocks;
  void* shared;  ///< of the block: the dynamic part
  size_t shared_bytes;
};
/// Of the thread that runs.
const ThreadState& here();

/// Waits for all threads of the block.
void barrier();
/// Waits for the lanes of this warp, each of which gives 8 bytes, and returns those of lane (own ^ mask).
unsigned long long exchange(unsigned long long value, int mask);

/// The same, and returns what all 32 gave; until the next wait.
const unsigned long long* gather(unsigned long long value);

/// f(lanes) once for the warp, with a pointer to what each lane gives; no lane goes on before it is done.
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

/// Ends the program unless these bytes lie in the block's dynamic shared memory.
void check_shared(const void* p, size_t bytes);
/// A copy that this thread makes at its next copy_now.
void copy_later(void* to, const void* from, size_t bytes);
void copy_now();

/// Waits for all threads of all blocks, which must have been launched together.
void grid_barrier();

/// Runs the body in every thread of every block, block after block; `together`: all blocks from one barrier of the grid
/// to the next, in an order that changes. The warps of a block run from barrier to barrier in turn, in an order that
/// changes from block to block. `shared`: bytes of dynamic shared memory, which each block finds full of NaN.
void run_grid(dim3 blocks, dim3 threads, size_t shared, bool together, const std::function<void()>& body);

}  // namespace emulated_gpu

inline void __syncthreads() { emulated_gpu::barrier(); }
/// Not in the block's dynamic shared memory; of the static part nothing is known here.
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
