#pragma once

#include <ATen/Parallel.h>

namespace hmrnn::test {

/// Sets LibTorch's number of threads for its lifetime.
class ThreadCount {
 public:
  explicit ThreadCount(int n) : before_(at::get_num_threads()) { at::set_num_threads(n); }
  ~ThreadCount() { at::set_num_threads(before_); }
  ThreadCount(const ThreadCount&) = delete;
  ThreadCount& operator=(const ThreadCount&) = delete;

 private:
  int before_;
};

}  // namespace hmrnn::test
