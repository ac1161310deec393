#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/data/split_mix.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Agreement of a layer's boundaries with events (pen-ups, ends of words), summed over sequences.
struct HMRNN_API Alignment {
  double boundaries = 0;  ///< number of boundaries
  double events = 0;      ///< number of events
  double hits = 0;        ///< number of pairs of a boundary and an event
  double positions = 0;   ///< number of points

  /// hits / boundaries; 0 if there are none
  double precision() const { return boundaries > 0 ? hits / boundaries : 0; }
  /// hits / events; 0 if there are none
  double recall() const { return events > 0 ? hits / events : 0; }
  /// harmonic mean of precision and recall
  double f1() const { return boundaries + events > 0 ? 2 * hits / (boundaries + events) : 0; }

  /// Adds another set of sequences.
  Alignment& operator+=(const Alignment& other);
};

/// Counts pairs of a boundary and an event of one sequence that are at most `tolerance` ≥ 0 points apart. Each boundary
/// and each event is in at most one pair, and the number of pairs is the maximum. `boundary` and `event` have the
/// sequence's length; a non-zero value marks a boundary or an event.
HMRNN_API Alignment align_boundaries(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event,
                                     int64_t tolerance);

/// Boundaries of a clock: one every `period` > 0 points of a sequence of `length` points, the first at `phase` ≥ 0.
/// Positions are rounded down, so that `period` need not be an integer.
HMRNN_API std::vector<uint8_t> clock_boundaries(int64_t length, double period, double phase);

/// The expected agreement of the same number of boundaries at random positions (no two at one point), as the mean of
/// `draws` draws.
HMRNN_API Alignment align_at_chance(const std::vector<uint8_t>& boundary, const std::vector<uint8_t>& event,
                                    int64_t tolerance, int64_t draws, SplitMix64& random);

/// Marks of several sequences: a non-zero value marks a point.
using MarkSequences = std::vector<std::vector<uint8_t>>;

/// Options of measure_agreement.
struct AgreementOptions {
  int64_t tolerance = 0;  ///< allowed distance between a boundary and its event, points
  int64_t shift = 0;      ///< expected offset of a boundary from its event, points (negative: before it)
  int64_t draws = 10;     ///< random draws for the chance level
  int64_t phases = 64;    ///< phases of the clock that are tried, evenly spaced; at most one per point of its period
  uint64_t seed = 1;      ///< seed of the draws
};

/// Agreement of a layer with events, beside two baselines with the same number of boundaries.
struct HMRNN_API Agreement {
  Alignment found;          ///< the layer's boundaries
  Alignment chance;         ///< baseline: the same number per sequence, at random positions; mean of the draws
  Alignment clock;          ///< baseline: the same number overall, at equal distances; the phase with the best F1
  double clock_period = 0;  ///< points / boundaries; 0 without boundaries
  double clock_phase = 0;   ///< the best phase
};

/// Compares a layer's boundaries with events over several sequences. Events that `shift` moves out of their sequence
/// are dropped. Throws std::invalid_argument if the sequences differ in number or length.
HMRNN_API Agreement measure_agreement(const MarkSequences& boundaries, const MarkSequences& events,
                                      const AgreementOptions& options);

}  // namespace hmrnn
