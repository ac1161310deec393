#include "hmrnn/ops/cpu/thread_team.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <chrono>
#include <utility>

namespace hmrnn::cpu {

namespace {

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Waits until `value` is no longer `old`: spins, then sleeps.
void wait_for_change(const std::atomic<int32_t>& value, int32_t old, std::chrono::microseconds spin) {
  const auto end = std::chrono::steady_clock::now() + spin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (value.load(std::memory_order_acquire) != old) return;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  value.wait(old, std::memory_order_acquire);
}

/// Wakes the threads that wait for `value`, which has just been changed. The fence: the library first checks whether
/// any thread waits, and this check must not be reordered before the change.
void wake(std::atomic<int32_t>& value) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  value.notify_all();
}

constexpr int32_t kDismissed = -1;  // value of loops_
constexpr uint64_t kMask = (uint64_t{1} << 16) - 1;

constexpr uint64_t untaken(uint64_t loop, uint64_t begin, uint64_t end) { return loop << 32 | end << 16 | begin; }

}  // namespace

thread_local ThreadTeam* ThreadTeam::current_ = nullptr;

void ThreadTeam::run(int64_t parts, Call call, const void* function) {
  if (parts < 1) return;
  TORCH_INTERNAL_ASSERT(parts <= static_cast<int64_t>(kMask), "ThreadTeam: too many parts");
  call_ = call;
  function_ = function;
  open_.store(static_cast<int32_t>(parts), std::memory_order_relaxed);
  ++loop_;
  const auto ranges = std::min(parts, size());
  for (int64_t t = 0; t < ranges; ++t) {
    ranges_[static_cast<size_t>(t)].untaken.store(
        untaken(loop_, static_cast<uint64_t>(parts * t / ranges), static_cast<uint64_t>(parts * (t + 1) / ranges)),
        std::memory_order_release);
  }
  loops_.fetch_add(1, std::memory_order_release);
  wake(loops_);
  current_ = nullptr;  // a loop within a part stays on its thread
  take_parts(0);
  for (int32_t open; (open = open_.load(std::memory_order_acquire)) != 0;) wait_for_change(open_, open, spin_);
  current_ = this;
  if (threw_.exchange(false)) std::rethrow_exception(std::exchange(thrown_, nullptr));
}

/// A thread that still looks for parts of the previous loop when the next one begins takes one of another's range
/// first; it then returns to its own.
void ThreadTeam::take_parts(int64_t index) {
  for (int64_t k = 0; k < size();) {
    const bool took = take_part(ranges_[static_cast<size_t>((index + k) % size())], k == 0);
    k = took ? 0 : k + 1;
  }
}

/// Takes one part, if any is left, and runs it. The owner takes the first one, since parts are prefetched in their
/// order, another thread the last one.
bool ThreadTeam::take_part(Range& range, bool own) {
  auto word = range.untaken.load(std::memory_order_acquire);
  uint64_t begin, end;
  do {
    begin = word & kMask;
    end = word >> 16 & kMask;
    if (begin >= end) return false;
  } while (!range.untaken.compare_exchange_weak(
      word, own ? untaken(word >> 32, begin + 1, end) : untaken(word >> 32, begin, end - 1), std::memory_order_acq_rel,
      std::memory_order_acquire));
  // The loop cannot end while this part is open, so call_ and function_ do not change.
  try {
    call_(function_, static_cast<int64_t>(own ? begin : end - 1));
  } catch (...) {
    if (!threw_.exchange(true)) thrown_ = std::current_exception();
  }
  if (open_.fetch_sub(1, std::memory_order_acq_rel) == 1) wake(open_);
  return true;
}

void ThreadTeam::serve(int64_t index) {
  for (auto seen = loops_.load(std::memory_order_acquire); seen != kDismissed;
       seen = loops_.load(std::memory_order_acquire)) {
    take_parts(index);
    wait_for_change(loops_, seen, spin_);
  }
}

void ThreadTeam::dismiss() {
  loops_.store(kDismissed, std::memory_order_release);
  wake(loops_);
}

}  // namespace hmrnn::cpu
