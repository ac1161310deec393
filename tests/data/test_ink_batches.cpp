#include <cmath>
#include <map>
#include <set>

#include "catch.h"
#include "hmrnn/data/ink_batches.h"
#include "hmrnn/data/split_mix.h"
#include "support/tensors.h"

using namespace hmrnn;

namespace {

/// Sequences with the given numbers of points; point i of sequence s is (s, i, i odd).
std::vector<torch::Tensor> sequences(const std::vector<int64_t>& lengths) {
  std::vector<torch::Tensor> out;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const auto i = torch::arange(lengths[s], torch::kFloat32);
    out.push_back(torch::stack({torch::full_like(i, static_cast<double>(s)), i, i.remainder(2)}, 1));
  }
  return out;
}

/// Goes through an epoch and checks that every sequence's targets appear once, in order, window by window; returns the
/// sequences in the order in which they start.
std::vector<size_t> walk(const InkBatches& batches, int64_t epoch, const std::vector<int64_t>& lengths, int64_t batch,
                         int64_t window) {
  std::vector<int64_t> seen(lengths.size(), 0);
  std::vector<size_t> order, rows;
  for (int64_t i = 0; i < batches.windows(); ++i) {
    const auto w = batches.window(epoch, i);
    const auto steps = w.input.size(0), width = w.input.size(1);
    REQUIRE(width <= batch);
    if (window > 0) REQUIRE(steps <= window);
    REQUIRE(w.rows.size() == static_cast<size_t>(width));
    if (w.first) {
      rows = w.rows;
      order.insert(order.end(), rows.begin(), rows.end());
      CHECK(w.begin == 0);
    }
    REQUIRE(w.rows == rows);  // the same sequences until the next batch begins
    int64_t count = 0;
    for (int64_t b = 0; b < width; ++b) {
      const auto s = rows[static_cast<size_t>(b)];
      const auto live = w.lengths[b].item<int64_t>();
      count += live;
      for (int64_t t = 0; t < steps; ++t) {
        CHECK(w.weight[t][b].item<float>() == (t < live ? 1 : 0));
        if (t >= live) {
          CHECK(w.input[t][b].abs().sum().item<float>() == 0);
          continue;
        }
        CHECK(w.begin + t == seen[s]);
        CHECK(w.input[t][b][0].item<int64_t>() == static_cast<int64_t>(s));
        CHECK(w.input[t][b][1].item<int64_t>() == seen[s]);
        CHECK(w.target[t][b][0].item<int64_t>() == static_cast<int64_t>(s));
        CHECK(w.target[t][b][1].item<int64_t>() == seen[s] + 1);
        ++seen[s];
      }
    }
    CHECK(w.count == count);
    CHECK(count > 0);
  }
  for (size_t s = 0; s < lengths.size(); ++s) CHECK(seen[s] == lengths[s] - 1);
  CHECK(std::set<size_t>(order.begin(), order.end()).size() == lengths.size());
  CHECK(order.size() == lengths.size());
  return order;
}

}  // namespace

TEST_CASE("every epoch scores each point but the first of every sequence once, whatever batch, window and seed") {
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 47; ++i) lengths.push_back(2 + i * 13 % 29);
  const auto batch = GENERATE(int64_t{1}, int64_t{4}, int64_t{64});
  const auto window = GENERATE(int64_t{0}, int64_t{7});
  const auto seed = GENERATE(std::optional<uint64_t>(), std::optional<uint64_t>(3));
  const InkBatches batches(sequences(lengths), batch, window, seed);
  int64_t targets = 0;
  for (const auto n : lengths) targets += n - 1;
  CHECK(batches.targets() == targets);
  CHECK(batches.sequences() == 47);
  if (window == 0) CHECK(batches.windows() == (47 + batch - 1) / batch);
  const auto first = walk(batches, 0, lengths, batch, window);
  const auto second = walk(batches, 1, lengths, batch, window);
  CHECK((first == second) == !seed);
  CHECK(walk(batches, 0, lengths, batch, window) == first);
}

TEST_CASE("an epoch depends on seed and epoch alone") {
  const std::vector<int64_t> lengths(60, 9);
  const InkBatches a(sequences(lengths), 4, 3, 5), b(sequences(lengths), 4, 3, 5), c(sequences(lengths), 4, 3, 6);
  a.window(7, 2);  // independent of earlier calls
  for (int64_t i = 0; i < a.windows(); i += 5) {
    CHECK(a.window(2, i).rows == b.window(2, i).rows);
    CHECK(hmrnn::test::same(a.window(2, i).input, b.window(2, i).input));
  }
  bool differs = false;
  for (int64_t i = 0; i < a.windows(); ++i) differs = differs || a.window(2, i).rows != c.window(2, i).rows;
  CHECK(differs);
}

TEST_CASE("batches hold sequences of similar length: little is padding") {
  SplitMix64 random(1);
  std::vector<int64_t> lengths;
  for (int64_t i = 0; i < 2000; ++i) lengths.push_back(300 + static_cast<int64_t>(random.below(700)));
  const InkBatches sorted(sequences(lengths), 32, 0, std::nullopt), mixed(sequences(lengths), 32, 0, 1);
  CHECK(sorted.padding() < 0.02);
  CHECK(mixed.padding() < 0.1);
  CHECK(mixed.padding() > sorted.padding());
  // One batch of all sequences pads them from a mean length of 650 to the longest, about 1000: by 35%.
  const InkBatches one(sequences(lengths), 2000, 0, std::nullopt);
  CHECK(one.padding() > 0.3);
}

TEST_CASE("standardised and back: the same line") {
  InkLine line;
  line.points = {{100, 200, false}, {110, 190, false}, {150, 260, true}, {90, 200, true}};
  InkNormalisation n;
  n.mean = {3, -2};
  n.deviation = {20, 5};
  const auto x = ink_sequence(line, n);
  CHECK(hmrnn::test::distance(
            x, torch::tensor({{-0.15, 0.4, 0.0}, {0.35, -1.6, 0.0}, {1.85, 14.4, 1.0}, {-3.15, -11.6, 1.0}},
                             torch::kFloat32)) < 1e-5);
  const auto back = ink_line(x, n);
  REQUIRE(back.points.size() == 4);
  for (size_t i = 0; i < 4; ++i) {
    CHECK(back.points[i].x == Approx(line.points[i].x - 100).margin(1e-3));
    CHECK(back.points[i].y == Approx(line.points[i].y - 200).margin(1e-3));
    CHECK(back.points[i].pen_up == line.points[i].pen_up);
  }
  n.coordinates = InkCoordinates::Absolute;
  const auto absolute = ink_sequence(line, n);
  CHECK(absolute[2][0].item<float>() == Approx(147.0 / 20));
  CHECK(ink_line(absolute, n).points[3].x == Approx(90));
}

TEST_CASE("a jitter scales x and y of a line alike in all its windows, and anew in each epoch") {
  const std::vector<int64_t> lengths = {9, 9, 9, 9};
  auto lines = sequences(lengths);
  for (auto& line : lines) line.select(1, 0).add_(5);  // no x near zero[0], which the scaling leaves unchanged
  const std::array<double, 2> zero = {-2, 3};
  const InkBatches plain(lines, 2, 3, 7), moved(lines, 2, 3, 7, {.scale = 0.25, .zero = zero});
  std::set<std::pair<double, double>> factors;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::map<size_t, std::pair<double, double>> of_line;
    for (int64_t i = 0; i < plain.windows(); ++i) {
      const auto a = plain.window(epoch, i), b = moved.window(epoch, i);
      REQUIRE(a.rows == b.rows);
      CHECK(torch::equal(a.input.select(2, 2), b.input.select(2, 2)));  // the pen
      for (int64_t row = 0; row < 2; ++row) {
        for (const auto& [x, y] : {std::pair(a.input, b.input), std::pair(a.target, b.target)}) {
          for (int64_t t = 0; t < a.lengths[row].item<int64_t>(); ++t) {
            const auto factor = [&](int64_t k) {
              const double origin = zero[static_cast<size_t>(k)];
              return (y[t][row][k].item<double>() - origin) / (x[t][row][k].item<double>() - origin);
            };
            if (std::abs(x[t][row][1].item<double>() - zero[1]) < 1e-3) continue;
            const auto [known, first] =
                of_line.emplace(a.rows[static_cast<size_t>(row)], std::pair(factor(0), factor(1)));
            CHECK(factor(0) == Approx(known->second.first).epsilon(1e-4));
            CHECK(factor(1) == Approx(known->second.second).epsilon(1e-4));
          }
        }
      }
    }
    for (const auto& [line, pair] : of_line) {
      CHECK((pair.first >= 0.749 && pair.first < 1.251 && pair.second >= 0.749 && pair.second < 1.251));
      factors.insert(pair);
    }
  }
  CHECK(factors.size() == 12);  // of 4 lines in 3 epochs
  CHECK_THROWS_AS(InkBatches(lines, 2, 3, std::nullopt, {.scale = 0.1}), c10::Error);
  CHECK_THROWS_AS(InkBatches(lines, 2, 3, 1, {.scale = 1}), c10::Error);
}
