#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/LegacyTypeDispatch.h>

#include <atomic>
#include <cstdint>

namespace hmrnn::cpu {

/// f(i) for each i of [0, n), scheduled dynamically: every thread takes the next one as soon as it has finished one, so
/// that a thread that the system has suspended delays only the one that it has begun. Loops and products inside f run
/// on its thread alone.
template <class F>
void for_tasks(int64_t n, F f) {
  if (n == 1) return f(int64_t{0});
  std::atomic<int64_t> next{0};
  // As many threads as any other loop: OpenMP ends threads that a smaller team does not need, and starts new ones for a
  // larger team.
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView below;  // other threads do not have the caller's dispatch keys
    for (int64_t i; (i = next.fetch_add(1)) < n;) f(i);
  });
}

}  // namespace hmrnn::cpu
