#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <vector>

namespace hmrnn::cpu {

/// LibTorch's threads, held for the loops of a whole window, or of a step of many streams: one parallel region instead
/// of one for each of its hundreds of loops. Between two loops a thread spins for a moment and then sleeps, so that
/// other processes can use its core. The parts of a loop are scheduled dynamically: the loop does not wait for a thread
/// that has not begun a part, only for one that the system suspends within a part. Each thread begins with a range of
/// parts of its own, the same in every loop, whose data its core has cached, and then takes parts of the others.
class ThreadTeam {
 public:
  ThreadTeam(int64_t size, std::chrono::microseconds spin) : ranges_(static_cast<size_t>(size)), spin_(spin) {}
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  /// The team that the calling thread leads, outside of the parts of a loop; else null.
  static ThreadTeam* current() { return current_; }
  /// The number of threads, including the leader.
  int64_t size() const { return static_cast<int64_t>(ranges_.size()); }

  /// The leader's thread: calls work(), during which this team is current(), then dismisses the others.
  template <class Work>
  void lead(Work work) {
    const Leading leading(*this);
    work();
  }
  /// Another thread, number `index` of [1, size): takes parts until the leader dismisses it.
  void serve(int64_t index);

  /// f(i) once for each i of [0, parts), parts < 65,536; to be called by the leader's thread. Returns when all parts
  /// have ended; rethrows the first exception.
  template <class F>
  void run(int64_t parts, const F& f) {
    run(
        parts, [](const void* function, int64_t i) { (*static_cast<const F*>(function))(i); }, &f);
  }

 private:
  using Call = void (*)(const void*, int64_t);

  /// A thread's own parts of the current loop: number of the loop (32 bits), end (16) and begin (16) of the parts that
  /// no thread has taken, in one word, so that a late thread takes either a part of the current loop or none.
  struct alignas(64) Range {
    std::atomic<uint64_t> untaken{0};
  };

  class Leading {
   public:
    explicit Leading(ThreadTeam& team) : team_(team) { current_ = &team; }
    ~Leading() {
      current_ = nullptr;
      team_.dismiss();
    }
    Leading(const Leading&) = delete;
    Leading& operator=(const Leading&) = delete;

   private:
    ThreadTeam& team_;
  };

  void run(int64_t parts, Call call, const void* function);
  void take_parts(int64_t index);
  bool take_part(Range& range, bool own);
  void dismiss();

  static thread_local ThreadTeam* current_;

  std::vector<Range> ranges_;             ///< of each thread
  const std::chrono::microseconds spin_;  ///< how long a wait spins before it sleeps
  uint32_t loop_ = 0;                     ///< the current loop's number, for the leader
  // The current loop: written by the leader when no part of the previous one is left, read by threads that took a part.
  Call call_ = nullptr;
  const void* function_ = nullptr;
  std::exception_ptr thrown_;
  std::atomic<bool> threw_{false};
  alignas(64) std::atomic<int32_t> loops_{0};  ///< changes with each loop; -1 at the end
  alignas(64) std::atomic<int32_t> open_{0};   ///< parts that have not ended
};

/// The number of threads that a loop of the calling thread can have.
inline int64_t usable_threads() {
  if (const auto* team = ThreadTeam::current()) return team->size();
  return at::in_parallel_region() ? 1 : std::max(at::get_num_threads(), 1);
}

/// How long a thread that waits spins before it sleeps. The leader's work between two loops, and the difference between
/// the times of two threads' parts, are mostly shorter; but beside a busy process spinning uses up the thread's share
/// of the CPU, which it then lacks when work comes. Two threads of an Intel Xeon, medians of four to six runs: with 100
/// instead of 500 µs windows of 3×512 are 2 to 3% slower alone (relative to torch::nn::LSTM in the same run), windows
/// of 3×256 as fast, alone and beside a busy process; and 64 streams of 3×128 compute 100,000 instead of 66,000
/// characters/s beside it, alone 212,000 instead of 221,000.
constexpr std::chrono::microseconds kWindowSpin(500), kStreamSpin(100);

/// Calls work() with a team of all threads as current(), or without one where the caller is in a parallel region or
/// LibTorch has one thread.
template <class Work>
void with_team(Work work, std::chrono::microseconds spin = kWindowSpin) {
  const int64_t threads = usable_threads();
  if (threads < 2 || ThreadTeam::current() != nullptr) return work();
  ThreadTeam team(threads, spin);
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) i == 0 ? team.lead(work) : team.serve(i);
  });
}

/// f(i) for each i of [0, parts), by the current team's threads, else by LibTorch's.
template <class F>
void for_parts(int64_t parts, F f) {
  if (parts < 2) return parts == 1 ? f(int64_t{0}) : void();
  if (auto* team = ThreadTeam::current()) return team->run(parts, f);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

/// f(begin, end) for ranges that partition [0, n), one for each thread.
template <class F>
void for_ranges(int64_t n, F f) {
  const int64_t parts = std::min(n, usable_threads());
  for_parts(parts, [&](int64_t i) { f(n * i / parts, n * (i + 1) / parts); });
}

}  // namespace hmrnn::cpu
