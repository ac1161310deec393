// Windows of data on their way to a device: the right data, at the addresses that a graph expects.
#include "catch.h"
#include "hmrnn/train/window_feed.h"
#include "support/cuda.h"

using namespace hmrnn;

namespace {

/// A window whose numbers identify it; `steps` is its length.
HostWindow window_of(int64_t epoch, int64_t index, int64_t steps) {
  return {{torch::arange(steps * 3, torch::kInt64).view({steps, 3}) + 1000 * epoch + 100000 * index,
           torch::full({steps}, static_cast<double>(epoch) + 0.5 * static_cast<double>(index))},
          steps * 3,
          index == 0};
}

void check_in_place(const WindowFeed& feed, int64_t epoch, int64_t index, int64_t steps) {
  INFO("epoch " << epoch << ", window " << index);
  const auto expected = window_of(epoch, index, steps);
  for (size_t i = 0; i < 2; ++i) CHECK(torch::equal(feed[i].cpu(), expected.tensors[i]));
}

}  // namespace

TEST_CASE("a window is in the same place as the one before it, prefetched or not, and each is made once") {
  std::vector<std::pair<int64_t, int64_t>> made;
  WindowFeed feed(
      [&](int64_t epoch, int64_t index) {
        made.emplace_back(epoch, index);
        return window_of(epoch, index, 4);
      },
      torch::kCPU);
  std::vector<std::pair<int64_t, int64_t>> expected;
  const void* at = nullptr;
  std::vector<int64_t> layout;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    for (int64_t i = 0; i < 5; ++i) {
      const auto window = feed.load(epoch, i);
      expected.emplace_back(epoch, i);
      CHECK(window.count == 12);
      CHECK(window.first == (i == 0));
      check_in_place(feed, epoch, i, 4);
      if (!at) at = feed[0].data_ptr(), layout = feed.layout();
      CHECK(feed[0].data_ptr() == at);
      CHECK(feed.layout() == layout);
      if (i == 2) continue;  // the next one is not prefetched
      feed.prefetch(i < 4 ? epoch : epoch + 1, (i + 1) % 5);
      feed.prefetch(i < 4 ? epoch : epoch + 1, (i + 1) % 5);  // requested twice, created once
      check_in_place(feed, epoch, i, 4);                      // the current one is unchanged
    }
  }
  expected.emplace_back(2, 0);  // prefetched
  CHECK(made == expected);
  // after a jump, as in a resume, the prefetched window is not used
  feed.load(7, 3);
  check_in_place(feed, 7, 3, 4);
}

TEST_CASE("the layout identifies the windows' memory: another one for another size, or once it had to grow") {
  std::vector<int64_t> steps = {5, 3, 5, 8, 5, 8};
  WindowFeed feed([&](int64_t, int64_t i) { return window_of(0, i, steps.at(static_cast<size_t>(i))); }, torch::kCPU);
  std::vector<std::vector<int64_t>> layouts;
  std::vector<const void*> places;
  for (int64_t i = 0; i < 6; ++i) {
    feed.load(0, i);
    check_in_place(feed, 0, i, steps[static_cast<size_t>(i)]);
    CHECK(feed[0].is_contiguous());
    layouts.push_back(feed.layout());
    places.push_back(feed[0].data_ptr());
  }
  CHECK(layouts[0] == layouts[2]);
  CHECK(layouts[0] != layouts[1]);
  CHECK(places[0] == places[1]);    // a smaller window uses the same memory
  CHECK(layouts[4] != layouts[0]);  // 8 steps needed a reallocation
  CHECK(layouts[3] == layouts[5]);
  CHECK(places[3] == places[5]);
}

TEST_CASE("windows are the right ones on a GPU, however far its work is behind", "[cuda]") {
  const auto device = test::find_cuda();
  if (!device) return;
  std::vector<int64_t> steps;
  for (int64_t i = 0; i < 60; ++i) steps.push_back(20 + i % 7 + i / 20);
  WindowFeed feed([&](int64_t, int64_t i) { return window_of(0, i, steps.at(static_cast<size_t>(i))); }, *device);
  // An emulated device does nothing until it is waited for.
  const int64_t work = test::is_emulated(*device) ? 64 : 2048;
  const auto busy = torch::randn({work, work}, *device);
  auto product = busy;
  std::vector<torch::Tensor> seen;
  for (int64_t i = 0; i < 60; ++i) {
    for (int k = 0; k < 4; ++k) product = torch::mm(busy, product) * 1e-3;
    feed.load(0, i);
    if (i + 1 < 60) feed.prefetch(0, i + 1);
    for (int k = 0; k < 4; ++k) product = torch::mm(busy, product) * 1e-3;
    seen.push_back(feed[0].clone());
  }
  for (int64_t i = 0; i < 60; ++i) {
    INFO("window " << i);
    CHECK(torch::equal(seen[static_cast<size_t>(i)].cpu(), window_of(0, i, steps[static_cast<size_t>(i)]).tensors[0]));
  }
}
