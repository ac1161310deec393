// Threads in place of the processes of a group.
#pragma once

#include <ATen/Parallel.h>

#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "hmrnn/run/process_group.h"
#include "support/temporary_folder.h"

namespace hmrnn::test {

/// Calls work(group) in each of `size` processes, and throws the exception of the lowest rank that threw one. (Catch2's
/// assertions are not safe in several threads, so `work` throws.)
inline void in_group(int64_t size, const std::function<void(ProcessGroup&)>& work,
                     std::chrono::milliseconds timeout = std::chrono::seconds(60)) {
  const TemporaryFolder folder;
  const auto store = (folder.path / "store").string();
  std::vector<std::exception_ptr> errors(static_cast<size_t>(size));
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        at::set_num_threads(1);
        const auto group = ProcessGroup::from_file(store, rank, size, timeout);
        work(*group);
      } catch (...) {
        errors[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (const auto& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace hmrnn::test
