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

/// The processes that train one model together, over c10d: Gloo for what is on the CPU, NCCL for what is on GPUs
/// (use_device). The functions called collective are called by all processes, in the same order; one that does not come
/// within the timeout, or dies, is an hmrnn::Error in the others.
class HMRNN_API ProcessGroup {
 public:
  /// The group that the environment names as torchrun sets it: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT; also
  /// LOCAL_RANK, and TORCHELASTIC_USE_AGENT_STORE and TORCHELASTIC_RESTART_COUNT where torchrun holds the store itself.
  /// (Which network interface: GLOO_SOCKET_IFNAME, NCCL_SOCKET_IFNAME.) Waits until all processes are there. Null where
  /// WORLD_SIZE is not set. A group of one needs no address. Throws hmrnn::Error naming a variable that is missing or
  /// malformed, where the group did not come together, or where LibTorch was built without Gloo.
  static std::unique_ptr<ProcessGroup> from_environment(std::chrono::milliseconds timeout);
  /// Process `rank` of `size` on this machine, which find each other through the file `store`, which must be new. For
  /// tests and benchmarks.
  static std::unique_ptr<ProcessGroup> from_file(const std::string& store, int64_t rank, int64_t size,
                                                 std::chrono::milliseconds timeout);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return rank_; }              ///< of this process, from 0
  int64_t size() const { return size_; }              ///< the number of processes
  bool leads() const { return rank_ == 0; }           ///< this is the process that writes files and talks
  int64_t local_rank() const { return local_rank_; }  ///< among those of this machine: which of its GPUs is this one's
  int64_t restarts() const { return restarts_; }      ///< how often torchrun has begun these processes anew

  /// Collective. Tensors on `device`, a GPU that no other process uses, are summed there from now on, by NCCL, and not
  /// through the host. Throws hmrnn::Error if that cannot be set up.
  void use_device(torch::Device device);

  /// Collective. Replaces `tensor`, contiguous and of the same sizes everywhere, by the sum over all processes: the
  /// same bits in each of them. On a device that use_device named it does not wait for the device, and has no timeout.
  void sum(const torch::Tensor& tensor) const;
  /// Collective. The rows of all processes one below the other, in the order of ranks, on the CPU; `rows` [n, …], where
  /// n may differ from process to process.
  torch::Tensor gather_rows(const torch::Tensor& rows) const;
  /// Collective. Waits for all.
  void barrier() const;
  /// Collective. The first process does `work` while the others wait. What it throws goes on in the first process; in
  /// the others it is an hmrnn::Error.
  void lead(const std::function<void()>& work) const;

  /// Leaves a mark that later starts of the same job find (torchrun's restarts); only where torchrun holds the store.
  void mark(const std::string& name) const;
  /// Whether that mark was left.
  bool marked(const std::string& name) const;

  /// What this process has spent in collective functions on the CPU so far, waiting for the others included.
  double seconds() const { return seconds_; }

 private:
  struct Backend;
  ProcessGroup(std::unique_ptr<Backend> backend, int64_t rank, int64_t size, std::chrono::milliseconds timeout);
  void wait_for(const std::function<void()>& work) const;

  std::unique_ptr<Backend> backend_;  ///< null in a group of one
  int64_t rank_, size_, local_rank_ = 0, restarts_ = 0;
  std::chrono::milliseconds timeout_;
  mutable double seconds_ = 0;
};

/// Which of `n` rows, as (first, number), are those of process `rank` of `size`: neighbours, as many for each as
/// divide evenly, the remainder spread.
HMRNN_API std::pair<int64_t, int64_t> rows_of_rank(int64_t n, int64_t rank, int64_t size);

}  // namespace hmrnn
