#include <algorithm>
#include <cstdlib>

#include "catch.h"
#include "hmrnn/analysis/alignment.h"

using namespace hmrnn;

namespace {

using Marks = std::vector<uint8_t>;

Marks marks(size_t length, const std::vector<size_t>& at) {
  Marks out(length, 0);
  for (const auto i : at) out[i] = 1;
  return out;
}

/// The largest number of pairs, by trying all.
int best_pairs(std::vector<int> boundaries, std::vector<int> events, int tolerance) {
  if (events.empty()) return 0;
  const int event = events.back();
  events.pop_back();
  int best = best_pairs(boundaries, events, tolerance);
  for (size_t i = 0; i < boundaries.size(); ++i) {
    if (std::abs(boundaries[i] - event) > tolerance) continue;
    auto rest = boundaries;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    best = std::max(best, 1 + best_pairs(rest, events, tolerance));
  }
  return best;
}

}  // namespace

TEST_CASE("alignment: pairs, precision, recall and F1 of a case counted by hand") {
  const auto boundary = marks(20, {2, 5, 6, 12, 19}), event = marks(20, {3, 7, 15});
  auto a = align_boundaries(boundary, event, 1);
  CHECK(a.boundaries == 5);
  CHECK(a.events == 3);
  CHECK(a.positions == 20);
  CHECK(a.hits == 2);  // 2–3 and 6–7
  CHECK(a.precision() == Approx(0.4));
  CHECK(a.recall() == Approx(2.0 / 3));
  CHECK(a.f1() == Approx(0.5));
  CHECK(align_boundaries(boundary, event, 0).hits == 0);
  CHECK(align_boundaries(boundary, event, 3).hits == 3);
  // A boundary belongs to one event at most, and an event to one boundary.
  CHECK(align_boundaries(marks(9, {4}), marks(9, {3, 5}), 2).hits == 1);
  CHECK(align_boundaries(marks(9, {3, 5}), marks(9, {4}), 2).hits == 1);
}

TEST_CASE("alignment: nothing found and nothing there are scores of 0, not NaN") {
  const auto none = align_boundaries(Marks(10, 0), Marks(10, 0), 2);
  CHECK(none.precision() == 0);
  CHECK(none.recall() == 0);
  CHECK(none.f1() == 0);
  CHECK(align_boundaries({}, {}, 2).f1() == 0);
  CHECK_THROWS(align_boundaries(Marks(3), Marks(4), 1));
}

TEST_CASE("alignment: no other pairing has more pairs") {
  SplitMix64 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    const auto tolerance = static_cast<int>(random.below(4));
    std::vector<int> b, e;
    Marks boundary(14, 0), event(14, 0);
    for (int i = 0; i < 14; ++i) {
      if (random.chance(35)) b.push_back(i), boundary[static_cast<size_t>(i)] = 1;
      if (random.chance(35)) e.push_back(i), event[static_cast<size_t>(i)] = 1;
    }
    CHECK(align_boundaries(boundary, event, tolerance).hits == best_pairs(b, e, tolerance));
  }
}

TEST_CASE("alignment by chance: with no tolerance its precision is the rate of events") {
  Marks boundary(400, 0), event(400, 0);
  for (size_t i = 0; i < 400; i += 5) boundary[i] = 1;
  for (size_t i = 0; i < 400; i += 8) event[i] = 1;
  SplitMix64 random(1);
  const auto a = align_at_chance(boundary, event, 0, 400, random);
  CHECK(a.boundaries == 80);
  CHECK(a.events == 50);
  // The mean is 80 · 50 / 400 hits; over 400 draws its standard deviation is 0.15, and the margin is 4 of these.
  CHECK(a.hits == Approx(10).margin(0.6));
  CHECK(a.precision() == Approx(0.125).margin(0.01));
  // With a boundary at every point every event is hit.
  CHECK(align_at_chance(Marks(50, 1), marks(50, {0, 30}), 0, 3, random).recall() == 1);
  CHECK(align_at_chance(Marks(50, 0), marks(50, {0, 30}), 5, 3, random).hits == 0);
}

TEST_CASE("alignment: sums over sequences") {
  Alignment sum;
  sum += align_boundaries(marks(5, {1}), marks(5, {1}), 0);
  sum += align_boundaries(marks(7, {1, 2, 3}), marks(7, {6}), 0);
  CHECK(sum.boundaries == 4);
  CHECK(sum.events == 2);
  CHECK(sum.hits == 1);
  CHECK(sum.positions == 12);
  CHECK(sum.precision() == 0.25);
}

TEST_CASE("a clock ticks as often as requested, at any phase") {
  CHECK(hmrnn::clock_boundaries(7, 3, 0) == Marks{1, 0, 0, 1, 0, 0, 1});
  CHECK(hmrnn::clock_boundaries(7, 3, 2) == Marks{0, 0, 1, 0, 0, 1, 0});
  CHECK(hmrnn::clock_boundaries(7, 2.5, 0.5) == Marks{1, 0, 0, 1, 0, 1, 0});  // 0.5, 3, 5.5
  CHECK(hmrnn::clock_boundaries(0, 2, 0).empty());
  CHECK_THROWS_AS(hmrnn::clock_boundaries(3, 0, 0), std::invalid_argument);
}

TEST_CASE("agreement names the layer, chance and the best clock at the layer's rate") {
  // Events every fourth point, at phase 3: a clock of that rate hits all; the layer hits half of them, one point late.
  hmrnn::MarkSequences events(2, Marks(40)), found(2, Marks(40));
  for (size_t s = 0; s < 2; ++s) {
    for (size_t i = 3; i < 40; i += 4) events[s][i] = 1;
    for (size_t i = 3; i < 20; i += 4) found[s][i + 1] = 1;
    for (size_t i = 21; i < 26; ++i) found[s][i] = 1;  // five more: 23 is an event, 24 is one point late
  }
  hmrnn::AgreementOptions options;
  auto agreement = hmrnn::measure_agreement(found, events, options);
  CHECK(agreement.found.boundaries == 20);
  CHECK(agreement.found.hits == 2);  // at 23
  CHECK(agreement.clock_period == 4);
  CHECK(agreement.clock_phase == 3);
  CHECK(agreement.clock.f1() == 1);
  CHECK(agreement.chance.boundaries == 20);

  options.shift = 1;
  agreement = hmrnn::measure_agreement(found, events, options);
  CHECK(agreement.found.hits == 12);  // five of each sequence, and 24; the last event, at 39, is shifted out
  CHECK(agreement.found.events == 18);
  CHECK(agreement.clock_phase == 0);
  options.shift = -40;
  CHECK(hmrnn::measure_agreement(found, events, options).found.events == 0);
  options.shift = 0;
  options.tolerance = 1;
  CHECK(hmrnn::measure_agreement(found, events, options).found.hits == 12);
}

TEST_CASE("agreement of a layer that never fires, and of nothing at all") {
  const hmrnn::MarkSequences events(1, Marks{0, 1, 0}), none(1, Marks(3));
  const auto agreement = hmrnn::measure_agreement(none, events, {});
  CHECK(agreement.found.f1() == 0);
  CHECK(agreement.clock_period == 0);
  CHECK(hmrnn::measure_agreement({}, {}, {}).found.positions == 0);
  CHECK_THROWS_AS(hmrnn::measure_agreement(none, {}, {}), std::invalid_argument);
}
