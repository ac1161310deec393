#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// The segments that boundaries make of a sequence. A segment ends with the point at which its layer's boundary fired;
/// what comes after the last boundary is none, since it has not ended.
struct HMRNN_API SegmentLengths {
  std::map<int64_t, int64_t> histogram;  ///< length in points → number of segments

  /// Adds the segments of one sequence: `boundary` has its length, not 0 says that a segment ends there.
  void add(const std::vector<uint8_t>& boundary);

  int64_t count() const;     ///< of segments
  double mean() const;       ///< length; 0 without any
  double deviation() const;  ///< the standard deviation of the length (of all segments, not an estimate); 0 without any
  /// The length that half of the segments do not exceed; 0 without any.
  int64_t median() const;
};

/// The `count` most frequent segments of a text and how often each is there, most frequent first, equally frequent ones
/// in the order of their bytes. `boundary` has the text's length in bytes.
HMRNN_API std::vector<std::pair<std::string, int64_t>> frequent_segments(std::string_view text,
                                                                         const std::vector<uint8_t>& boundary,
                                                                         size_t count);

}  // namespace hmrnn
