// A block of threads (hmrnn/ops/cuda/block.h) on the host: the threads are fibers that take turns, each running from
// one barrier to the next, in the order of their numbers or in the reverse one. A kernel that lacks a barrier reads
// what a thread has not yet written, in one of the two orders and at every run; threads that do not all come to the
// same barrier are an error.
#pragma once

#include <ucontext.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "hmrnn/ops/cuda/block.h"

namespace hmrnn::test {

class HostTeam;

/// What a kernel's body sees of its thread. Each thread is a group of its own.
class HostBlock {
 public:
  HostBlock(HostTeam* team, int thread) : team_(team), thread_(thread) {}
  int thread() const { return thread_; }
  int threads() const;
  void barrier() const;
  int group() const { return thread_; }
  int groups() const { return threads(); }
  bool leads_group() const { return true; }
  template <class T>
  T group_sum(T x) const {
    return x;
  }
  cuda::BlockMemory* shared() const;

 private:
  HostTeam* team_;
  int thread_;
};

class HostTeam {
 public:
  /// `threads`: 1 to cuda::kMaxGroups
  HostTeam(int threads, bool reversed);
  ~HostTeam();
  HostTeam(const HostTeam&) = delete;
  HostTeam& operator=(const HostTeam&) = delete;

  /// Runs the body in every thread; throws std::logic_error if some threads wait at a barrier that others do not come
  /// to.
  void run(const std::function<void(const HostBlock&)>& body);
  int threads() const { return static_cast<int>(fibers_.size()); }

 private:
  friend class HostBlock;
  struct Fiber;

  static void enter(unsigned high, unsigned low);
  void resume(Fiber& fiber);
  void pause(int thread);

  std::vector<std::unique_ptr<Fiber>> fibers_;
  bool reversed_;
  const std::function<void(const HostBlock&)>* body_ = nullptr;
  ucontext_t caller_;
  void* caller_fake_stack_ = nullptr;
  const void* caller_stack_ = nullptr;
  size_t caller_stack_size_ = 0;
  cuda::BlockMemory shared_;
};

}  // namespace hmrnn::test
