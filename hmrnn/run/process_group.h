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

/// The processes that train one model together, over c10d: Gloo for tensors on the CPU, NCCL for tensors on GPUs
/// (use_device). All processes must call the functions marked collective, in the same order; if one does not call
/// within the timeout, or dies, the others throw hmrnn::Error (of a sum on GPUs, in wait_for_sums).
class HMRNN_API ProcessGroup {
 public:
  /// The group that torchrun's environment variables describe: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; also
  /// LOCAL_RANK, and TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT where torchrun holds the store itself.
  /// (GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME select the network interface.) Waits until all processes have joined.
  /// Null if WORLD_SIZE is not set. A group of one needs an address only if torchrun holds the store. Throws
  /// hmrnn::Error naming a variable that is missing or malformed, if not all processes join within the timeout, or if
  /// LibTorch was built without Gloo.
  static std::unique_ptr<ProcessGroup> from_environment(std::chrono::milliseconds timeout);
  /// Process `rank` of `size` on this machine; the processes meet through the file `store`, which must be new. For
  /// tests and benchmarks. Throws as require_rank does, or if not all processes join within the timeout.
  static std::unique_ptr<ProcessGroup> from_file(const std::string& store, int64_t rank, int64_t size,
                                                 std::chrono::milliseconds timeout);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return rank_; }              ///< of this process, from 0
  int64_t size() const { return size_; }              ///< the number of processes
  bool leads() const { return rank_ == 0; }           ///< whether this process writes files and prints
  int64_t local_rank() const { return local_rank_; }  ///< rank on this machine; also the index of this process's GPU
  int64_t restarts() const { return restarts_; }      ///< number of restarts by torchrun

  /// Collective. From now on NCCL sums tensors on `device`, a GPU that no other process uses, without copies to the
  /// host. Throws hmrnn::Error if that cannot be set up.
  void use_device(torch::Device device);

  /// Collective. Replaces `tensor`, contiguous and of the same sizes in all processes, by the sum over all processes,
  /// the same bits in each. On the device of use_device it does not wait for the device (see wait_for_sums).
  void sum(const torch::Tensor& tensor) const;
  /// Waits until the sums on the device of use_device have ended; returns immediately without one. To be called before
  /// anything else waits for the device, since a sum never ends if another process's GPU takes no part in it. Throws
  /// hmrnn::Error at the timeout, or if the device reports an error.
  void wait_for_sums() const;
  /// Collective. Concatenates the rows of all processes in the order of ranks, on the CPU (a group of one returns
  /// `rows` itself); `rows` is [n, …], where n may differ between processes.
  torch::Tensor gather_rows(const torch::Tensor& rows) const;
  /// Collective. Waits until all processes have called it.
  void barrier() const;
  /// Collective. The first process runs `work` while the others wait. If it throws, the first process rethrows the
  /// exception, and the others throw hmrnn::Error.
  void lead(const std::function<void()>& work) const;

  /// Stores a mark that restarts of the same job can read; no effect unless torchrun holds the store.
  void mark(const std::string& name) const;
  /// Whether the mark was stored.
  bool marked(const std::string& name) const;

  /// Seconds that this process has spent in collective functions on the CPU so far, including waiting.
  double seconds() const { return seconds_; }

 private:
  struct Backend;
  ProcessGroup(std::unique_ptr<Backend> backend, int64_t rank, int64_t size, std::chrono::milliseconds timeout);
  void wait_for(const std::function<void()>& work) const;

  std::unique_ptr<Backend> backend_;  ///< null in a group of one, unless torchrun holds a store
  int64_t rank_, size_, local_rank_ = 0, restarts_ = 0;
  std::chrono::milliseconds timeout_;
  mutable double seconds_ = 0;
};

/// Throws hmrnn::Error unless there is a process `rank` of `ranks`: 0 ≤ rank < ranks.
HMRNN_API void require_rank(int64_t rank, int64_t ranks);

/// The contiguous rows of process `rank` of `size`, as (first, number), if `n` rows are divided as evenly as possible.
/// Throws as require_rank does.
HMRNN_API std::pair<int64_t, int64_t> rows_of_rank(int64_t n, int64_t rank, int64_t size);

}  // namespace hmrnn
