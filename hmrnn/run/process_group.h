#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "hmrnn/export.h"

namespace hmrnn {

/// The processes that train one model together, over c10d's Gloo (CPU tensors; those of a device go through the host).
/// Every function but the first three is collective: all processes call it, in the same order. One that does not come
/// within the timeout, or dies, is an hmrnn::Error in the others.
class HMRNN_API ProcessGroup {
 public:
  /// The group that the environment names as torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT, and
  /// TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT where torchrun holds the store itself. Waits until all
  /// processes are there. Null where WORLD_SIZE is not set. Throws hmrnn::Error naming a variable that is missing or
  /// malformed, or who did not come.
  static std::unique_ptr<ProcessGroup> from_environment(std::chrono::milliseconds timeout);
  /// Process `rank` of `size` on this machine, which find each other through the file `store`, which must be new. For
  /// tests and benchmarks.
  static std::unique_ptr<ProcessGroup> from_file(const std::string& store, int64_t rank, int64_t size,
                                                 std::chrono::milliseconds timeout);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return rank_; }     ///< of this process, from 0
  int64_t size() const { return size_; }     ///< the number of processes
  bool leads() const { return rank_ == 0; }  ///< this is the process that writes files and talks

  /// Replaces `tensor`, contiguous and of the same sizes everywhere, by the sum over all processes: the same bits in
  /// each of them.
  void sum(const torch::Tensor& tensor) const;
  /// The rows of all processes one below the other, in the order of ranks; `rows` [n, …], n may differ.
  torch::Tensor gather_rows(const torch::Tensor& rows) const;
  /// Waits for all.
  void barrier() const;

 private:
  struct Backend;
  ProcessGroup(std::unique_ptr<Backend> backend, int64_t rank, int64_t size, std::chrono::milliseconds timeout);
  void wait_for(const std::function<void()>& work) const;

  std::unique_ptr<Backend> backend_;
  int64_t rank_, size_;
  std::chrono::milliseconds timeout_;
};

/// Which of `n` rows, as (first, number), are those of process `rank` of `size`: neighbours, as many for each as
/// divide evenly, the remainder spread.
HMRNN_API std::pair<int64_t, int64_t> rows_of_rank(int64_t n, int64_t rank, int64_t size);

}  // namespace hmrnn
