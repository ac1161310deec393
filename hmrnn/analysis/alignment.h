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

/// The boundaries of a clock: one every `period` > 0 points of a sequence of `length`, the first at `phase` ≥ 0; places
/// are rounded down, so that a period need not be whole.
HMRNN_API std::vector<uint8_t> clock_boundaries(int64_t length, double period, double phase);

/// The same for as many boundaries, thrown anywhere in the sequence (no two on one point): the mean of `draws` throws.
/// What a layer scores above it, it knows.
HMRNN_API Alignment align_at_chance(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event,
                                    int64_t tolerance, int64_t draws, SplitMix64& random);

/// MarkSequences of some sequences: not 0 says that there is one.
using MarkSequences = std::vector<std::vector<uint8_t>>;

/// Options of measure_agreement.
struct AgreementOptions {
  int64_t tolerance = 0;  ///< points that a boundary may be away from its event
  int64_t shift = 0;      ///< a boundary is expected so many points after its event (below 0: before it)
  int64_t draws = 10;     ///< throws of the chance level
  int64_t phases = 64;    ///< of the clock, spread over its period, no more than it has points
  uint64_t seed = 1;      ///< of the throws
};

/// How a layer agrees with events, and how what knows nothing does at the same rate.
struct HMRNN_API Agreement {
  Alignment found;          ///< the layer's boundaries
  Alignment chance;         ///< as many in each sequence, thrown anywhere: mean of the throws
  Alignment clock;          ///< as many, at equal distances: the best phase, which the layer is not given
  double clock_period = 0;  ///< points / boundaries; 0 without any
  double clock_phase = 0;   ///< of the best
};

/// Compares the boundaries of a layer with events over some sequences. Events that `shift` moves out of their sequence
/// are left out. Throws std::invalid_argument where sequences differ in number or length.
HMRNN_API Agreement measure_agreement(const MarkSequences& boundaries, const MarkSequences& events,
                                      const AgreementOptions& options);

}  // namespace hmrnn
