#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/data/split_mix.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// How the boundaries of a layer agree with events (pen-ups, ends of words), summed over sequences.
struct HMRNN_API Alignment {
  double boundaries = 0;  ///< their number
  double events = 0;      ///< their number
  double hits = 0;        ///< pairs of a boundary and an event that belong together
  double positions = 0;   ///< points looked at

  /// hits / boundaries; 0 without any
  double precision() const { return boundaries > 0 ? hits / boundaries : 0; }
  /// hits / events; 0 without any
  double recall() const { return events > 0 ? hits / events : 0; }
  /// harmonic mean of both
  double f1() const { return boundaries + events > 0 ? 2 * hits / (boundaries + events) : 0; }

  /// The sum over two sets of sequences.
  Alignment& operator+=(const Alignment& other);
};

/// Pairs boundaries and events of one sequence that are at most `tolerance` ≥ 0 points apart, each in one pair at most,
/// as many pairs as there can be. `boundary` and `event` have the sequence's length; not 0 says that there is one.
HMRNN_API Alignment align_boundaries(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event,
                                     int64_t tolerance);

/// The same for as many boundaries, thrown anywhere in the sequence (no two on one point): the mean of `draws` throws.
/// What a layer scores above it, it knows.
HMRNN_API Alignment align_at_chance(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event,
                                    int64_t tolerance, int64_t draws, SplitMix64& random);

}  // namespace hmrnn
