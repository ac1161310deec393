// The team of threads of a window runs each part of a loop exactly once. (Whole windows: test_row_shares.cpp.)
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/row_product.h"
#include "hmrnn/ops/cpu/thread_team.h"
#include "support/thread_count.h"

using hmrnn::cpu::for_parts;
using hmrnn::cpu::for_ranges;
using hmrnn::cpu::for_shares;
using hmrnn::cpu::Share;
using hmrnn::cpu::ThreadTeam;
using hmrnn::cpu::usable_threads;
using hmrnn::cpu::with_team;
using hmrnn::test::ThreadCount;

TEST_CASE("a team runs each part of each loop once") {
  for (const int threads : {1, 2, 3, 4}) {
    const ThreadCount set(threads);
    INFO(threads);
    constexpr int64_t kLoops = 20000;
    std::vector<std::atomic<int32_t>> done(64);
    int64_t wrong = 0;
    with_team([&] {
      CHECK((ThreadTeam::current() != nullptr) == (threads > 1));
      CHECK(usable_threads() == threads);
      for (int64_t loop = 0; loop < kLoops; ++loop) {
        const int64_t parts = 1 + loop % 7;
        for_parts(parts, [&](int64_t i) { done[static_cast<size_t>(i)].fetch_add(1, std::memory_order_relaxed); });
        // All parts have ended when the loop returns.
        for (int64_t i = 0; i < 8; ++i) {
          if (done[static_cast<size_t>(i)].exchange(0, std::memory_order_relaxed) != (i < parts ? 1 : 0)) ++wrong;
        }
      }
    });
    CHECK(wrong == 0);
    CHECK(ThreadTeam::current() == nullptr);
  }
}

TEST_CASE("what a part has written is there after its loop, and what the leader has written before it") {
  const ThreadCount set(3);
  std::vector<int64_t> values(1000);
  int64_t wrong = 0;
  with_team([&] {
    for (int64_t loop = 0; loop < 2000; ++loop) {
      std::iota(values.begin(), values.end(), loop);
      for_ranges(1000, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] *= 3;
      });
      for (int64_t i = 0; i < 1000; ++i) wrong += values[static_cast<size_t>(i)] != 3 * (i + loop);
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("threads take the parts of a loop as they come") {
  const ThreadCount set(2);
  with_team([&] {
    std::atomic<bool> held{false};
    // One thread stays in the first part; the other one takes all that are left.
    std::atomic<int> others{0};
    for_parts(6, [&](int64_t) {
      if (!held.exchange(true)) {
        while (others.load() < 5) std::this_thread::yield();
      } else {
        others.fetch_add(1);
      }
    });
    CHECK(others.load() == 5);
  });
}

TEST_CASE("each thread begins with its own parts, the same in nearly every loop") {
  const ThreadCount set(2);
  constexpr int64_t kLoops = 200, kParts = 8;
  std::atomic<int64_t> elsewhere{0};
  with_team([&] {
    const auto leader = std::this_thread::get_id();
    for (int64_t loop = 0; loop < kLoops; ++loop) {
      std::atomic<int> begun{0};
      std::array<std::atomic<bool>, 2> own{};  // whether the thread (0: the leader) has begun a part
      for_parts(kParts, [&](int64_t i) {
        const size_t thread = std::this_thread::get_id() == leader ? 0 : 1;
        if (own[thread].exchange(true)) return;
        begun.fetch_add(1);
        while (begun.load() < 2) std::this_thread::yield();  // so that each thread has its first part
        if (i != (thread == 0 ? 0 : kParts / 2)) ++elsewhere;
      });
    }
  });
  // A thread that still looks for parts of the previous loop may find one of the other's range first.
  CHECK(elsewhere < kLoops / 4);
}

TEST_CASE("shares are the whole product, and each thread's first one is most of its own") {
  for (const int threads : {1, 2, 3, 4}) {
    const ThreadCount set(threads);
    for (const int64_t multiplications : {int64_t{0}, int64_t{1} << 18, int64_t{1} << 19, int64_t{1} << 30}) {
      INFO(threads << " threads, " << multiplications << " multiplications");
      std::vector<std::pair<double, double>> shares;
      std::mutex mutex;
      with_team([&] {
        for_shares(multiplications, [&](Share share) {
          const std::lock_guard lock(mutex);
          const auto count = static_cast<double>(share.count);
          shares.emplace_back(static_cast<double>(share.begin) / count, static_cast<double>(share.end) / count);
        });
      });
      std::sort(shares.begin(), shares.end());
      REQUIRE(shares.front().first == 0.0);
      CHECK(shares.back().second == 1.0);
      for (size_t i = 1; i < shares.size(); ++i) CHECK(shares[i].first == shares[i - 1].second);
      const auto own = static_cast<size_t>(threads);
      if (multiplications < 1 << 19) CHECK(shares.size() == 1);
      if (multiplications == 1 << 30) {
        REQUIRE(shares.size() == (threads == 1 ? 1 : 2 * own));
        CHECK((shares[0].second - shares[0].first) * threads >= 0.75);
      }
    }
  }
}

TEST_CASE("threads that sleep between loops wake for the next one") {
  const ThreadCount set(2);
  std::atomic<int> done{0};
  with_team([&] {
    for (int loop = 0; loop < 20; ++loop) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than a thread spins
      std::atomic<int> here{0};
      for_parts(2, [&](int64_t) {
        // Both threads must take a part: each waits within its part for the other.
        here.fetch_add(1);
        while (here.load() < 2) std::this_thread::yield();
        done.fetch_add(1);
      });
    }
  });
  CHECK(done.load() == 40);
}

TEST_CASE("a team ends whether its threads spin, sleep or are about to sleep") {
  const ThreadCount set(3);
  int64_t done = 0;
  for (int i = 0; i < 400; ++i) {
    with_team(
        [&] {
          std::atomic<int64_t> parts{0};
          for_parts(3, [&](int64_t) { parts.fetch_add(1); });
          done += parts.load();
          const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(50 + i % 100);
          while (std::chrono::steady_clock::now() < end) {
          }
        },
        hmrnn::cpu::kStreamSpin);  // 100 µs
  }
  CHECK(done == 1200);
}

TEST_CASE("loops within a part and within a parallel region stay on their thread") {
  const ThreadCount set(2);
  with_team([&] {
    std::atomic<int> inner{0};
    for_parts(2, [&](int64_t) {
      const auto thread = std::this_thread::get_id();
      for_parts(3, [&](int64_t) { inner += std::this_thread::get_id() == thread ? 1 : 100; });
      with_team([&] { inner += ThreadTeam::current() == nullptr ? 0 : 100; });
    });
    CHECK(inner.load() == 6);
    CHECK(ThreadTeam::current() != nullptr);
  });
  at::parallel_for(0, 2, 1, [&](int64_t, int64_t) {
    with_team([] {
      if (usable_threads() != 1) throw std::logic_error("a team within a parallel region");
    });
  });
}

TEST_CASE("an exception in a part ends its loop alone, one of the leader the team") {
  const ThreadCount set(2);
  int after = 0;
  with_team([&] {
    CHECK_THROWS_WITH(for_parts(4,
                                [](int64_t i) {
                                  if (i == 2) throw std::runtime_error("part 2");
                                }),
                      "part 2");
    std::atomic<int> done{0};
    for_parts(4, [&](int64_t) { done.fetch_add(1); });
    after = done.load();
  });
  CHECK(after == 4);
  CHECK_THROWS_WITH(with_team([] { throw std::runtime_error("leader"); }), "leader");
  CHECK(ThreadTeam::current() == nullptr);
}
