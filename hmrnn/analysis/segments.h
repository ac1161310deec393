#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Lengths of the segments into which boundaries divide sequences. A segment ends at the point at which its layer's
/// boundary fired; the points after the last boundary form no segment, since it has not ended.
struct HMRNN_API SegmentLengths {
  std::map<int64_t, int64_t> histogram;  ///< length in points → number of segments

  /// Adds the segments of one sequence: `boundary` has its length; a non-zero value marks the end of a segment.
  void add(const std::vector<uint8_t>& boundary);

  int64_t count() const;     ///< number of segments
  double mean() const;       ///< mean length; 0 if there are none
  double deviation() const;  ///< standard deviation of the length over these segments (divided by n); 0 if there are
                             ///< none
  /// The smallest length that at least half of the segments do not exceed; 0 if there are none.
  int64_t median() const;
};

/// The `count` most frequent segments of a text with their number of occurrences, most frequent first, ties in byte
/// order. `boundary` has the text's length in bytes.
HMRNN_API std::vector<std::pair<std::string, int64_t>> frequent_segments(std::string_view text,
                                                                         const std::vector<uint8_t>& boundary,
                                                                         size_t count);

}  // namespace hmrnn
