// The emulated block of threads must detect the faults of a real one.
#include <stdexcept>

#include "catch.h"
#include "support/host_block.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("threads of a host block meet at barriers, in both orders") {
  for (const bool reversed : {false, true}) {
    HostTeam team(7, reversed);
    std::vector<int> first(7), second(7);
    team.run([&](const HostBlock& block) {
      first[block.thread()] = block.thread() + 1;
      block.barrier();
      int sum = 0;
      for (const int x : first) sum += x;
      second[block.thread()] = sum;
    });
    CHECK(second == std::vector<int>(7, 28));
  }
}

TEST_CASE("a missing barrier shows in one of the orders") {
  int wrong = 0;
  for (const bool reversed : {false, true}) {
    HostTeam team(4, reversed);
    std::vector<int> first(4), second(4);
    team.run([&](const HostBlock& block) {
      first[block.thread()] = 1;
      second[block.thread()] = first[(block.thread() + 1) % 4] + first[(block.thread() + 3) % 4];
    });
    wrong += second == std::vector<int>(4, 2) ? 0 : 1;
  }
  CHECK(wrong == 2);  // each thread reads both neighbours, one of which is always late
}

TEST_CASE("threads that part ways at a barrier are an error, and the team works again afterwards") {
  HostTeam team(3, false);
  CHECK_THROWS_AS(team.run([](const HostBlock& block) {
    if (block.thread() > 0) block.barrier();
  }),
                  std::logic_error);
  int count = 0;
  team.run([&](const HostBlock&) { ++count; });
  CHECK(count == 3);
}

TEST_CASE("sums over a block, again and again, whatever its size") {
  for (const int threads : {1, 2, 5, 32}) {
    HostTeam team(threads, true);
    std::vector<double> got(threads);
    std::vector<double> x(13);
    for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<double>(i) + 1;
    team.run([&](const HostBlock& block) {
      const cuda::BlockRow<HostBlock, double, 1> row(block);
      double total = 0;
      for (int round = 1; round <= 5; ++round) {
        const auto s = row.sums<2>(13, [&](auto at) { return std::array<double, 2>{at.load(x.data()), round + 0.0}; });
        total += s[0] * round + s[1];
      }
      got[block.thread()] = total;
    });
    CHECK(got == std::vector<double>(threads, 91 * 15 + 13 * 15));
  }
}

TEST_CASE("sums over packs visit every value once") {
  HostTeam team(5, false);
  alignas(16) float x[44];
  for (int i = 0; i < 44; ++i) x[i] = static_cast<float>(i);
  alignas(16) float y[44] = {};
  float sum = 0;
  team.run([&](const HostBlock& block) {
    const cuda::BlockRow<HostBlock, float, 4> row(block);
    using V = cuda::Pack<float, 4>;
    const auto s = row.sums<1>(44, [&](auto at) {
      at.add(y, at.load(x) * V(2.0f));
      return std::array<V, 1>{at.load(x)};
    });
    if (row.first()) sum = s[0];
  });
  CHECK(sum == 43 * 22);
  for (int i = 0; i < 44; ++i) CHECK(y[i] == 2.0f * i);
}
