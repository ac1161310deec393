#include <optional>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/run/run_lock.h"
#include "support/temporary_folder.h"
#include "train/trainer_fixture.h"

using hmrnn::RunLock;

TEST_CASE("a run folder has one trainer at a time") {
  const hmrnn::test::TemporaryFolder folder;
  const hmrnn::test::TemporaryFolder other;
  std::optional<RunLock> first(folder.path);
  CHECK_THROWS_WITH(RunLock(folder.path), ContainsSubstring("another process is training into this run") &&
                                              ContainsSubstring(folder.path.string()));
  CHECK_NOTHROW(RunLock(other.path));
  first.reset();
  CHECK_NOTHROW(RunLock(folder.path));
}

TEST_CASE("a folder that is not there is named") {
  const hmrnn::test::TemporaryFolder folder;
  CHECK_THROWS_AS(RunLock(folder / "none"), hmrnn::Error);
}

TEST_CASE("a Trainer holds its run's folder: neither another run's start nor a resume gets into it") {
  const hmrnn::test::TemporaryFolder folder;
  const auto run = folder / "run";
  hmrnn::test::SmallRun first;
  first.trainer.steps = 2;
  bool asked = false;
  first.stop = [&](const hmrnn::Trainer&) {
    if (asked) return false;
    asked = true;
    CHECK_THROWS_WITH(RunLock(run), ContainsSubstring("another process is training into this run"));
    hmrnn::test::SmallRun second;
    second.trainer.steps = 3;
    const auto before = hmrnn::test::records(run);
    CHECK_THROWS_WITH(second(run, /*resume=*/true), ContainsSubstring("another process is training into this run"));
    CHECK_THROWS_AS(second(run, /*resume=*/false), hmrnn::Error);
    CHECK(hmrnn::test::records(run) == before);
    return false;
  };
  CHECK(first(run, false) == hmrnn::StopReason::Steps);
  REQUIRE(asked);
  CHECK_NOTHROW(RunLock(run));  // the Trainer's destructor released it
  hmrnn::test::SmallRun after;
  after.trainer.steps = 3;
  CHECK(after(run, /*resume=*/true) == hmrnn::StopReason::Steps);
}
