// Subnormal numbers count as 0 during training on every thread, but not before or after.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include "catch.h"
#include "hmrnn/train/flush_subnormals.h"
#include "support/files.h"
#include "train/trainer_fixture.h"

namespace {

/// Doubles a subnormal in as many elements as all threads share, and returns how many results are 0.
int64_t flushed() {
  // From its bits: converting a double would flush it.
  const auto subnormal = torch::full({1 << 20}, 4, torch::kInt32).view(torch::kFloat32);
  return ((subnormal * 2).view(torch::kInt32) == 0).sum().item<int64_t>();
}

bool flushes_here() {
  volatile float small = 1e-40F;
  volatile float doubled = small * 2;
  return doubled == 0;
}

}  // namespace

TEST_CASE("subnormal numbers count as 0 within the scope, on every thread, and only there") {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 4}) {
    at::set_num_threads(threads);
    INFO(threads << " threads");
    REQUIRE(flushed() == 0);
    {
      const hmrnn::FlushSubnormals flush;
      CHECK(flushes_here());
      CHECK(flushed() == int64_t{1} << 20);
      {
        const hmrnn::FlushSubnormals inner;
        CHECK(flushes_here());
      }
      CHECK(flushed() == int64_t{1} << 20);  // as before the inner scope
    }
    CHECK_FALSE(flushes_here());
    CHECK(flushed() == 0);
  }
  at::set_num_threads(before);
}

TEST_CASE("a training flushes them; the host program has its own mode before and after") {
  const TemporaryFolder folder;
  hmrnn::test::SmallRun run;
  run.trainer.steps = 3;
  bool within = false;
  run.stop = [&](const hmrnn::Trainer& trainer) {
    if (trainer.step() == 2) within = flushes_here() && flushed() == int64_t{1} << 20;
    return false;
  };
  run.finish = [](const hmrnn::Trainer&) { CHECK_FALSE(flushes_here()); };
  run(folder / "run", false);
  CHECK(within);
  CHECK(flushed() == 0);
}
