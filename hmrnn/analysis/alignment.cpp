#include "hmrnn/analysis/alignment.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

namespace hmrnn {

namespace {

std::vector<int64_t> places(const std::vector<uint8_t>& marks) {
  std::vector<int64_t> out;
  for (size_t i = 0; i < marks.size(); ++i) {
    if (marks[i] != 0) out.push_back(static_cast<int64_t>(i));
  }
  return out;
}

/// Both ascending. Every event takes the first free boundary in reach: what is in reach of it and of later events alike
/// is never wasted by that, so no other pairing has more pairs.
int64_t count_pairs(const std::vector<int64_t>& boundaries, const std::vector<int64_t>& events, int64_t tolerance) {
  int64_t pairs = 0;
  auto next = boundaries.begin();
  for (const auto event : events) {
    while (next != boundaries.end() && *next < event - tolerance) ++next;
    if (next == boundaries.end()) break;
    if (*next > event + tolerance) continue;
    ++pairs;
    ++next;
  }
  return pairs;
}

void check(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event) {
  if (boundary.size() != event.size()) throw std::invalid_argument("alignment: two sequences of different lengths");
}

}  // namespace

Alignment& Alignment::operator+=(const Alignment& other) {
  boundaries += other.boundaries;
  events += other.events;
  hits += other.hits;
  positions += other.positions;
  return *this;
}

Alignment align_boundaries(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event, int64_t tolerance) {
  check(boundary, event);
  const auto a = places(boundary), b = places(event);
  return {static_cast<double>(a.size()), static_cast<double>(b.size()),
          static_cast<double>(count_pairs(a, b, tolerance)), static_cast<double>(boundary.size())};
}

Alignment align_at_chance(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event, int64_t tolerance,
                          int64_t draws, SplitMix64& random) {
  check(boundary, event);
  const auto events = places(event);
  const auto count = places(boundary).size();
  std::vector<int64_t> all(boundary.size());
  std::iota(all.begin(), all.end(), int64_t{0});
  double hits = 0;
  for (int64_t draw = 0; draw < draws; ++draw) {
    // The first `count` steps of Fisher and Yates: any subset is as likely as any other, whatever order `all` has.
    for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + random.below(all.size() - i)]);
    std::vector<int64_t> thrown(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(thrown.begin(), thrown.end());
    hits += static_cast<double>(count_pairs(thrown, events, tolerance));
  }
  return {static_cast<double>(count), static_cast<double>(events.size()),
          hits / static_cast<double>(std::max<int64_t>(draws, 1)), static_cast<double>(boundary.size())};
}

}  // namespace hmrnn
