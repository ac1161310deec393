// A block of threads (hmrnn/ops/cuda/block.h) for the unit tests, on emulated_grid.h: between barriers its threads run
// in ascending or descending order, so that a missing barrier shows in one of the two orders, in every run.
#pragma once

#include <cstring>
#include <functional>
#include <stdexcept>

#include "hmrnn/ops/cuda/block.h"
#include "support/emulated_grid.h"

namespace hmrnn::test {

/// A kernel body's view of its thread. Each thread is its own group.
class HostBlock {
 public:
  HostBlock(cuda::BlockMemory* shared, int threads) : shared_(shared), threads_(threads) {}
  int thread() const { return static_cast<int>(emulated_gpu::here().thread.x); }
  int threads() const { return threads_; }
  void barrier() const { emulated_gpu::barrier(); }
  int group() const { return thread(); }
  int groups() const { return threads(); }
  bool leads_group() const { return true; }
  template <class T>
  T group_sum(T x) const {
    return x;
  }
  cuda::BlockMemory* shared() const { return shared_; }

 private:
  cuda::BlockMemory* shared_;
  int threads_;
};

class HostTeam {
 public:
  /// `threads`: 1 to cuda::kMaxGroups
  HostTeam(int threads, bool reversed) : threads_(threads), reversed_(reversed) {
    if (threads < 1 || threads > cuda::kMaxGroups) throw std::logic_error("a host block has 1 to 32 threads");
  }

  /// Runs the body in every thread; throws std::logic_error if some threads wait at a barrier that others do not reach.
  void run(const std::function<void(const HostBlock&)>& body) {
    std::memset(&shared_, 0xff, sizeof(shared_));  // NaN, so that reading before writing shows
    using Order = emulated_gpu::Grid::Order;
    emulated_gpu::Grid grid;
    grid.threads.x = static_cast<unsigned>(threads_);
    grid.warp = 1;
    grid.order = reversed_ ? Order::Descending : Order::Ascending;
    const HostBlock block(&shared_, threads_);
    emulated_gpu::run_grid(grid, [&] { body(block); });
  }
  int threads() const { return threads_; }

 private:
  int threads_;
  bool reversed_;
  cuda::BlockMemory shared_;
};

}  // namespace hmrnn::test
