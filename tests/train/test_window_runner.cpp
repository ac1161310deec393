// Replayed windows: WindowRunner, and which changes the CPU substitute of a CUDA graph sees at a replay.
#include "catch.h"
#include "hmrnn/train/window_runner.h"
#include "support/traced_graph.h"

using namespace hmrnn;
using hmrnn::test::TracedGraph;

namespace {

/// Counts calls; replay and capture run the step.
struct CountingGraph : WindowGraph {
  std::optional<c10::Stream> stream() const override { return std::nullopt; }
  void capture(const std::function<void()>& work) override {
    ++captures;
    if (fails) throw std::runtime_error("no memory");
    recorded = work;
    work();
  }
  void replay() override { recorded(); }
  std::function<void()> recorded;
  int captures = 0;
  bool fails = false;
};

}  // namespace

TEST_CASE("a step is captured when windows repeat, replayed for its layout, launched for every other one") {
  int steps = 0;
  auto owned = std::make_unique<CountingGraph>();
  auto& graph = *owned;
  WindowRunner runner([&] { ++steps; }, std::move(owned));
  const std::vector<int64_t> usual = {100, 64}, last = {37, 64}, rare = {100, 3};
  const auto run = [&](const std::vector<int64_t>& layout, int64_t times) {
    for (int64_t i = 0; i < times; ++i) runner.run(layout);
  };
  // never as many consecutive windows as the warm-up needs
  for (int i = 0; i < 4; ++i) run(usual, WindowRunner::kWarmUp), run(last, 1);
  CHECK(graph.captures == 0);
  run(usual, WindowRunner::kWarmUp + 1);
  CHECK(graph.captures == 1);
  CHECK(runner.replayed() == 0);
  run(usual, 5), run(last, 1), run(usual, 2), run(rare, WindowRunner::kReplace), run(usual, 1);
  CHECK(graph.captures == 1);
  CHECK(runner.replayed() == 8);
  // a layout that does not occur again
  run(rare, WindowRunner::kReplace + 1);
  CHECK(graph.captures == 2);
  run(rare, 2), run(usual, 1);
  CHECK(runner.replayed() == 10);
  CHECK(steps == 4 * 4 + 4 + 5 + 1 + 2 + 100 + 1 + 101 + 2 + 1);  // every window once
}

TEST_CASE("windows without a layout are launched plainly, as all are without a graph") {
  int steps = 0;
  auto owned = std::make_unique<CountingGraph>();
  auto& graph = *owned;
  WindowRunner runner([&] { ++steps; }, std::move(owned)), plain([&] { ++steps; });
  for (int i = 0; i < 10; ++i) runner.run({}), plain.run({1});
  CHECK(steps == 20);
  CHECK(graph.captures == 0);
  CHECK(plain.captured() == 0);
}

TEST_CASE("after a capture that failed nothing stale is replayed") {
  int steps = 0;
  auto owned = std::make_unique<CountingGraph>();
  auto& graph = *owned;
  WindowRunner runner([&] { ++steps; }, std::move(owned));
  for (int i = 0; i < WindowRunner::kWarmUp; ++i) runner.run({1});
  graph.fails = true;
  CHECK_THROWS(runner.run({1}));
  graph.fails = false;
  CHECK(steps == WindowRunner::kWarmUp);
  runner.run({1});
  CHECK(graph.captures == 2);
  CHECK(steps == WindowRunner::kWarmUp + 1);
}

TEST_CASE("the traced graph does again what was recorded, from the tensors as they are now") {
  auto x = torch::ones({3}), weight = torch::full({3}, 2.0).requires_grad_(), sum = torch::zeros({});
  double baked = 1;
  const auto work = [&] {
    const auto y = (x * weight).square().sum() * baked;
    y.backward();
    const torch::NoGradGuard no_grad;
    sum += y;
    weight.sub_(0.25 * weight.grad());
    weight.mutable_grad().reset();
  };
  auto expected = weight.detach().clone();
  double expected_sum = 0;
  const auto by_hand = [&](double factor) {
    expected_sum += (x * expected).square().sum().item<double>() * factor;
    expected = expected - 0.25 * factor * 2 * x * x * expected;
  };
  TracedGraph graph;
  graph.capture(work);
  by_hand(1);
  CHECK(torch::allclose(weight, expected));
  CHECK(graph.host_reads().empty());
  const auto size = graph.size();
  x.fill_(0.5);  // in place: noticed
  graph.replay();
  by_hand(1);
  CHECK(torch::allclose(weight, expected));
  CHECK(sum.item<double>() == Approx(expected_sum));
  CHECK(graph.size() == size);
  baked = 7;  // a number of the host: not noticed
  graph.replay();
  by_hand(1);
  CHECK(torch::allclose(weight, expected));
  x = torch::full({3}, 100.0);  // another tensor: not noticed
  graph.replay();
  x = torch::full({3}, 0.5);
  by_hand(1);
  CHECK(torch::allclose(weight, expected));
  CHECK(sum.item<double>() == Approx(expected_sum));
}

TEST_CASE("replays of a traced graph draw new random numbers, and it reports where the host reads a tensor") {
  auto x = torch::zeros({5});
  const auto work = [&] {
    const torch::NoGradGuard no_grad;
    x.copy_(torch::rand({5}) + torch::dropout(torch::ones({5}), 0.5, true));
  };
  std::vector<torch::Tensor> plain, replayed;
  torch::manual_seed(3);
  for (int i = 0; i < 3; ++i) work(), plain.push_back(x.clone());
  TracedGraph graph;
  torch::manual_seed(3);
  graph.capture(work);
  replayed.push_back(x.clone());
  for (int i = 0; i < 2; ++i) graph.replay(), replayed.push_back(x.clone());
  for (size_t i = 0; i < 3; ++i) CHECK(torch::equal(plain[i], replayed[i]));
  CHECK_FALSE(torch::equal(plain[0], plain[1]));
  graph.capture([&] { x.add_(x.sum().item<double>()); });
  CHECK(graph.host_reads() == std::map<std::string, int>{{"aten::_local_scalar_dense", 1}});
}
