// Emulates blocks of threads on the host: runs the bodies of the CUDA kernels in the unit tests (host_block.h) and on
// the emulated device (tests/emulated_gpu). Each thread is a fiber. The lanes of a warp synchronise at shuffles, the
// threads of a block at barriers, blocks that were launched together at barriers of the grid; between these points they
// run one after the other. Shared memory is full of NaN when a block begins. So a kernel without a necessary barrier
// reads values that were not written yet; threads that do not all reach the same barrier are an error.
#pragma once

#include <cstddef>
#include <functional>

namespace emulated_gpu {

struct Index3 {
  unsigned x = 1, y = 1, z = 1;
  unsigned count() const { return x * y * z; }
};

struct ThreadState {
  Index3 thread, block;
  Index3 threads, blocks;
  void* shared;  ///< dynamic shared memory of the block
  size_t shared_bytes;
};
/// State of the running thread.
const ThreadState& here();

/// Waits for all threads of the block.
void barrier();
/// Waits for all threads of all blocks, which must have been launched together.
void grid_barrier();
/// Waits for the lanes of this warp, each of which passes 8 bytes, and returns those of lane (own ^ mask).
unsigned long long exchange(unsigned long long value, int mask);
/// The same, but returns the values of all lanes; valid until the next wait.
const unsigned long long* gather(unsigned long long value);

/// Throws unless these bytes are in the block's dynamic shared memory.
void check_shared(const void* p, size_t bytes);
/// A copy that is made at this thread's next copy_now.
void copy_later(void* to, const void* from, size_t bytes);
void copy_now();

struct Grid {
  Index3 blocks, threads;
  size_t shared = 0;      ///< bytes of dynamic shared memory
  bool together = false;  ///< all blocks run at the same time, in a changing order
  unsigned warp = 32;     ///< threads per warp
  /// Order in which a block's warps run between barriers: random for each block, or always the same.
  enum class Order { Random, Ascending, Descending } order = Order::Random;
};

/// Runs the body in every thread of every block. Throws std::logic_error if threads diverge at a shuffle or a barrier,
/// and passes on exceptions of a body; the next call is not affected. For one host thread at a time.
void run_grid(const Grid& grid, const std::function<void()>& body);

}  // namespace emulated_gpu
