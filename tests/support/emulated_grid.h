// Blocks of threads on the host: what runs the bodies of the CUDA kernels, in the unit tests (host_block.h) as on the
// emulated device (tests/emulated_gpu). Each thread is a fiber. The lanes of a warp meet at shuffles, the threads of a
// block at barriers, blocks that were launched together at barriers of the grid; between two of these they run one
// after the other. Shared memory is full of NaN when a block begins. A kernel that lacks a barrier reads what a thread
// has not yet written, and threads that do not all come to the same place are an error.
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
  void* shared;  ///< of the block: the dynamic part
  size_t shared_bytes;
};
/// Of the thread that runs.
const ThreadState& here();

/// Waits for all threads of the block.
void barrier();
/// Waits for all threads of all blocks, which must have been launched together.
void grid_barrier();
/// Waits for the lanes of this warp, each of which gives 8 bytes, and returns those of lane (own ^ mask).
unsigned long long exchange(unsigned long long value, int mask);
/// The same, and returns what all lanes gave; until the next wait.
const unsigned long long* gather(unsigned long long value);

/// Throws unless these bytes lie in the block's dynamic shared memory.
void check_shared(const void* p, size_t bytes);
/// A copy that this thread makes at its next copy_now.
void copy_later(void* to, const void* from, size_t bytes);
void copy_now();

struct Grid {
  Index3 blocks, threads;
  size_t shared = 0;      ///< bytes of dynamic shared memory
  bool together = false;  ///< whether all blocks run at the same time, in an order that changes
  unsigned warp = 32;     ///< threads of a warp
  /// In which order a block's warps run from barrier to barrier: changing from block to block, or always the same.
  enum class Order { Random, Ascending, Descending } order = Order::Random;
};

/// Runs the body in every thread of every block. Throws std::logic_error where threads part at a shuffle or a barrier,
/// and what a body throws; the next call works as if nothing had happened. For one host thread at a time.
void run_grid(const Grid& grid, const std::function<void()>& body);

}  // namespace emulated_gpu
