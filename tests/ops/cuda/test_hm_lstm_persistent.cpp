// The kernel that computes a whole window on a GPU (hmrnn/ops/cuda_persistent.h) against the same window step by step.
#include "catch.h"
#include "support/cuda.h"
#include "support/window_comparison.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// Both round the same values to bfloat16. If their sums differ in the last bit of a float, a value sometimes rounds to
/// its neighbour, which is 1/256 away, and later steps differ by a fraction of that.
constexpr double kBound = 1e-2;

/// `windows`: how many of the two directions the persistent kernel is expected to compute.
Outcome by_persistent(const RandomWindow& p, bool some, int windows = 2) {
  const PersistentWindows on;
  const auto before = cuda_persistent_windows();
  auto out = by_operator(p, some, torch::kBFloat16);
  CHECK(cuda_persistent_windows() - before == windows);
  return out;
}

RandomWindowOptions options_of(const std::vector<int64_t>& sizes, int64_t batch) {
  RandomWindowOptions o;
  o.sizes = sizes;
  o.batch = batch;
  o.dtype = torch::kFloat32;
  o.rate = 0.4;
  o.seed = 40 + sizes.size() + batch;
  return o;
}

}  // namespace

TEST_CASE("the persistent kernel equals the steps, with every gradient", "[cuda][persistent]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  double worst = 0;
  const std::vector<int64_t> sizes{16, 48, 32};
  for (auto kind : window_kinds()) {
    auto& o = kind.options;
    if (o.sizes.size() == 2) continue;
    std::copy_n(sizes.begin(), o.sizes.size(), o.sizes.begin());
    o.batch = 16;
    o.dtype = torch::kFloat32;
    const auto p = random_window(o).to(*cuda);
    INFO(kind.name);
    // With a locked mask, W and V read other values than U: such a window is computed step by step.
    const int windows = o.locked_dropout > 0 && o.sizes.size() > 1 ? 0 : 2;
    const double e = difference(p, by_persistent(p, kind.some_gradients, windows),
                                by_operator(p, kind.some_gradients, torch::kBFloat16), kBound);
    worst = std::max(worst, e);
  }
  std::printf("persistent kernel: worst difference from the steps %.1e\n", worst);
}

TEST_CASE("the persistent kernel at many sizes", "[cuda][persistent]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  double worst = 0;
  const std::vector<std::pair<std::vector<int64_t>, int64_t>> all = {
      {{16}, 64}, {{256}, 32}, {{64, 16}, 16}, {{16, 80}, 64}, {{96, 16, 112}, 48}, {{16, 48, 16, 32}, 64}};
  for (const auto& [sizes, batch] : all) {
    INFO("sizes " << torch::IntArrayRef(sizes) << ", batch " << batch);
    const auto p = random_window(options_of(sizes, batch)).to(*cuda);
    worst = std::max(worst, difference(p, by_persistent(p, false), by_operator(p, false, torch::kBFloat16), kBound));
  }
  std::printf("persistent kernel at many sizes: worst difference from the steps %.1e\n", worst);
}

TEST_CASE("the persistent kernel repeats bit for bit, and without gradients gives the same",
          "[cuda][persistent][sanitizer]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  auto o = options_of({48, 32, 64}, 32);
  o.steps = 12;
  o.rate = -1;
  o.indexed = true;
  const auto p = random_window(o).to(*cuda);
  const PersistentWindows on;
  const auto before = cuda_persistent_windows();
  check_repeats(p, torch::kBFloat16);
  CHECK(cuda_persistent_windows() == before + 5);  // both directions twice, and one without gradients
}

TEST_CASE("a window that the persistent kernel cannot run goes step by step", "[cuda][persistent]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  const auto compare = [&](const RandomWindow& p) {
    const auto a = by_persistent(p, false, 0), b = by_operator(p, false, torch::kBFloat16);
    for (size_t i = 0; i < a.gradients.size(); ++i) {
      INFO(p.names()[i]);
      CHECK(same(a.gradients[i], b.gradients[i]));
    }
  };
  compare(random_window(options_of({16, 20, 32}, 16)).to(*cuda));
  compare(random_window(options_of({16, 32}, 8)).to(*cuda));
  compare(random_window(options_of({16, 32, 16, 32, 16}, 16)).to(*cuda));
  compare(not_aligned(random_window(options_of({16, 32, 16}, 16)).to(*cuda)));
  auto few = options_of({16, 32}, 16);
  few.steps = 3;
  compare(random_window(few).to(*cuda));

  const PersistentWindows on;
  const auto before = cuda_persistent_windows();
  auto o = options_of({16, 32}, 16);
  by_operator(random_window(o).to(*cuda), false);  // products in float32
  o.dtype = torch::kFloat64;
  by_operator(random_window(o).to(*cuda), false);
  CHECK(cuda_persistent_windows() == before);
}
