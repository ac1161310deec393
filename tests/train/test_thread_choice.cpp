// The automatic choice of the number of threads.
#include <ATen/Parallel.h>

#include <filesystem>
#include <iostream>
#include <vector>

#include "catch.h"
#include "hmrnn/io/machine_limits.h"
#include "hmrnn/train/thread_choice.h"
#include "support/files.h"
#include "support/thread_count.h"
#include "train/trainer_fixture.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("the smallest number of threads that is about as fast as any is chosen") {
  CHECK(thread_candidates(1) == std::vector<int>{1});
  CHECK(thread_candidates(2) == std::vector<int>{1, 2});
  CHECK(thread_candidates(6) == std::vector<int>{1, 2, 4, 6});
  CHECK(choose_threads({{1, 10.0}, {2, 6.0}}) == 2);
  CHECK(choose_threads({{1, 10.0}, {2, 9.8}}) == 1);
  CHECK(choose_threads({{1, 10.0}, {2, 30.0}}) == 1);
  CHECK(choose_threads({{1, 10.0}, {2, 6.0}, {4, 5.9}, {6, 7.0}}) == 2);
}

TEST_CASE("a run requests another number of threads when its speed has halved for ten seconds, and after ten minutes") {
  /// Makes steps of 0.1 s until watch.step returns true; returns their time, or -1 after `limit` seconds.
  const auto asks_after = [](SpeedWatch& watch, double targets_per_second, double limit) {
    for (int i = 1; i <= 10 * limit; ++i) {
      if (watch.step(0.1, 0.1 * targets_per_second)) return 0.1 * i;
    }
    return -1.0;
  };
  SpeedWatch watch;
  watch.begin(1);
  CHECK(asks_after(watch, 1000, 60) < 0);
  CHECK(asks_after(watch, 600, 60) < 0);  // not half
  CHECK(asks_after(watch, 400, 8) < 0);   // not for ten seconds
  CHECK(asks_after(watch, 900, 2) < 0);
  const double slow = asks_after(watch, 400, 60);
  CHECK((slow >= 9.5 && slow <= 12));

  watch.begin(1);  // the present speed is the new reference
  CHECK(asks_after(watch, 400, 500) < 0);
  CHECK(asks_after(watch, 400, 200) > 0);
  watch.begin(10);  // the choice took 10 s, so the next one is 200 times as long after it
  CHECK(asks_after(watch, 400, 1900) < 0);
  CHECK(asks_after(watch, 400, 200) > 0);
}

TEST_CASE("windows that are timed between two steps do not change a run") {
  SmallRun run;
  run.trainer.steps = 25;  // evaluations after 7, 14 and 21, records after each fourth, saves after each fifth
  run.boundary = BoundaryMode::Bernoulli;
  run.boundary_cost.target_rate = {0.3, 0.1};
  run.trainer.ema = 0.9;
  run.regularise();
  const TemporaryFolder folder;
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  REQUIRE(run(folder.path / "plain", false) == StopReason::Steps);
  int calls = 0;
  run.prepare = [&](Trainer& trainer) {
    trainer.set_after_step([&](double seconds, double targets) {
      CHECK(seconds > 0);
      CHECK(targets == 6 * 20);
      ++calls;
      if (trainer.step() % 3 == 0) trainer.time_windows(1, 4, 60);
    });
  };
  REQUIRE(run(folder.path / "timed", false) == StopReason::Steps);
  CHECK(calls == 25);
  at::set_num_threads(before);
  CHECK(records(folder.path / "plain") == records(folder.path / "timed"));
  CHECK(same_tensors(folder.path / "plain/last/state.safetensors", folder.path / "timed/last/state.safetensors"));
}

TEST_CASE("a run chooses threads before its first step, within the CPUs that it may use, and a resume keeps them") {
  const int before = at::get_num_threads();
  const int most = static_cast<int>(std::min<int64_t>(2, usable_cpus()));
  at::set_num_threads(most);
  SmallRun run;
  run.trainer.steps = 2;
  const TemporaryFolder folder;
  std::vector<int> stored;
  Progress silent(nullptr);
  std::optional<ThreadChoice> choice;
  const auto choose = [&](bool automatic, int64_t kept) {
    at::set_num_threads(most);
    stored.clear();
    choice.emplace(automatic, torch::kCPU, kept, [&](int n) { stored.push_back(n); });
  };
  run.begin = [&](Trainer& trainer) { choice->begin(trainer, silent); };
  choose(true, 0);
  REQUIRE(run(folder.path / "run", false) == StopReason::Steps);
  if (most > 1) {
    REQUIRE(stored.size() == 1);
    CHECK((stored[0] == 1 || stored[0] == 2));
    CHECK(at::get_num_threads() == stored[0]);
  } else {
    CHECK(stored.empty());
  }
  run.trainer.steps = 3;
  choose(true, 1);
  REQUIRE(run(folder.path / "run", true) == StopReason::Steps);
  CHECK(stored.empty());
  CHECK(at::get_num_threads() == 1);
  run.trainer.steps = 4;
  choose(true, 4096);  // stored on a larger machine
  REQUIRE(run(folder.path / "run", true) == StopReason::Steps);
  CHECK(stored.size() == (most > 1 ? 1 : 0));
  run.trainer.steps = 5;
  choose(false, 1);
  REQUIRE(run(folder.path / "run", true) == StopReason::Steps);
  CHECK(stored.empty());
  CHECK(at::get_num_threads() == most);
  at::set_num_threads(before);
}

namespace {

/// Whether this machine has a choice of threads; else says that a test is skipped.
bool has_choice() {
  if (usable_cpus() > 1) return true;
  std::cout << "skipped: one CPU leaves no choice of threads" << std::endl;
  return false;
}

}  // namespace

TEST_CASE("a request to stop ends a choice of threads, without one") {
  if (!has_choice()) return;
  const ThreadCount two(2);
  SmallRun run;
  run.trainer.steps = 3;
  const TemporaryFolder folder;
  std::vector<int> stored;
  Progress silent(nullptr);
  ThreadChoice choice(true, torch::kCPU, 0, [&](int n) { stored.push_back(n); });
  int64_t calls = 0;
  run.stop = [&](const Trainer&) { return ++calls > 1; };  // a signal that arrives while the first number is timed
  run.begin = [&](Trainer& trainer) {
    choice.begin(trainer, silent);
    CHECK(calls == 2);
  };
  REQUIRE(run(folder.path / "run", false) == StopReason::Signal);
  CHECK(stored.empty());
  CHECK(at::get_num_threads() == 2);
}

TEST_CASE("a run whose speed has halved chooses again during training, and says so") {
  if (!has_choice()) return;
  const ThreadCount two(2);
  SmallRun run;
  run.trainer.steps = 6;
  const TemporaryFolder folder;
  const auto said = folder.path / "said";
  std::FILE* stream = std::fopen(said.c_str(), "w");
  REQUIRE(stream);
  std::vector<int> stored;
  {
    Progress progress(stream);
    ThreadChoice choice(true, torch::kCPU, 2, [&](int n) { stored.push_back(n); });
    run.begin = [&](Trainer& trainer) { choice.begin(trainer, progress); };
    run.prepare = [&](Trainer& trainer) {
      trainer.set_after_step([&](double, double) {
        if (trainer.step() == 3) at::set_num_threads(3);  // not one of those that are tried
        const bool fast = trainer.step() == 1;            // then a third of this speed
        choice.after_step(trainer, progress, fast ? 1 : 6, fast ? 3000 : 6000);
        if (trainer.step() < 3) CHECK(stored.empty());
      });
    };
    REQUIRE(run(folder.path / "run", false) == StopReason::Steps);
  }
  std::fclose(stream);
  REQUIRE(stored.size() == 1);
  CHECK((stored[0] == 1 || stored[0] == 2));
  CHECK(at::get_num_threads() == stored[0]);
  CHECK_THAT(get(said), ContainsSubstring("step 3: --threads auto: " + std::to_string(stored[0]) + " instead of 3"));
}
