#include "hmrnn/analysis/alignment.h"

#include <algorithm>
#include <cmath>
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

/// Both ascending. The greedy matching has the maximum number of pairs: each event is paired with the first free
/// boundary within the tolerance, which is the least useful one for later events.
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

std::vector<uint8_t> clock_boundaries(int64_t length, double period, double phase) {
  if (!(period > 0) || phase < 0)
    throw std::invalid_argument("clock_boundaries: period must be above 0, phase at least 0");
  std::vector<uint8_t> out(static_cast<size_t>(length));
  for (int64_t tick = 0;; ++tick) {
    const double place = std::floor(phase + static_cast<double>(tick) * period);
    if (place >= static_cast<double>(length)) return out;
    out[static_cast<size_t>(place)] = 1;
  }
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
    // The first `count` steps of a Fisher-Yates shuffle: all subsets are equally likely, whatever order `all` has.
    for (size_t i = 0; i < count; ++i) std::swap(all[i], all[i + random.below(all.size() - i)]);
    std::vector<int64_t> thrown(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count));
    std::sort(thrown.begin(), thrown.end());
    hits += static_cast<double>(count_pairs(thrown, events, tolerance));
  }
  return {static_cast<double>(count), static_cast<double>(events.size()),
          hits / static_cast<double>(std::max<int64_t>(draws, 1)), static_cast<double>(boundary.size())};
}

namespace {

/// `marks` moved by `shift` points; those that leave the sequence are dropped.
std::vector<uint8_t> shifted(const std::vector<uint8_t>& marks, int64_t shift) {
  if (shift == 0) return marks;
  std::vector<uint8_t> out(marks.size());
  for (const auto place : places(marks)) {
    const auto to = place + shift;
    if (to >= 0 && to < static_cast<int64_t>(marks.size())) out[static_cast<size_t>(to)] = 1;
  }
  return out;
}

/// Sets `to.clock` to the best F1 over the phases of a clock of period `to.clock_period`.
void try_clocks(const MarkSequences& events, const AgreementOptions& options, Agreement& to) {
  const double period = to.clock_period;
  const auto phases = std::max<int64_t>(1, std::min(options.phases, static_cast<int64_t>(std::ceil(period))));
  for (int64_t i = 0; i < phases; ++i) {
    const double phase = period * static_cast<double>(i) / static_cast<double>(phases);
    Alignment clock;
    for (const auto& event : events) {
      clock += align_boundaries(clock_boundaries(static_cast<int64_t>(event.size()), period, phase), event,
                                options.tolerance);
    }
    if (i > 0 && clock.f1() <= to.clock.f1()) continue;
    to.clock = clock;
    to.clock_phase = phase;
  }
}

}  // namespace

Agreement measure_agreement(const MarkSequences& boundaries, const MarkSequences& events,
                            const AgreementOptions& options) {
  if (boundaries.size() != events.size()) throw std::invalid_argument("agreement: two numbers of sequences");
  Agreement out;
  SplitMix64 random(options.seed);
  MarkSequences moved;
  for (size_t s = 0; s < events.size(); ++s) {
    moved.push_back(shifted(events[s], options.shift));
    out.found += align_boundaries(boundaries[s], moved[s], options.tolerance);
    out.chance += align_at_chance(boundaries[s], moved[s], options.tolerance, options.draws, random);
  }
  out.clock = out.found;
  if (out.found.boundaries == 0) return out;
  out.clock_period = out.found.positions / out.found.boundaries;
  try_clocks(moved, options, out);
  return out;
}

}  // namespace hmrnn
