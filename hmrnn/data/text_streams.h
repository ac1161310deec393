#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// A window of B parallel streams.
struct TextWindow {
  torch::Tensor input;   ///< int64 [T, B]
  torch::Tensor target;  ///< int64 [T, B]: the next character after each input
  torch::Tensor weight;  ///< float32 [T, B]: 0 where a stream has ended (`exact` only), else 1; undefined: all 1
  int64_t count = 0;     ///< number of targets with weight 1
  bool first = false;    ///< the streams start here: the caller resets the carried state
};

/// Cuts a text into B contiguous streams and returns them in windows of T steps, so that state can be carried from one
/// window to the next. For training, the remainder that does not fill a window of every stream is dropped. For
/// evaluation (`exact`), every character except the first is a target exactly once (N-1 targets): stream lengths then
/// differ by at most one, stream b+1 starts at the last character of stream b, and the last window may be shorter.
/// Where a stream has ended, its last pair is repeated with weight 0.
class HMRNN_API TextStreams {
 public:
  /// `text`: uint8 [N]. Throws hmrnn::Error if a training text does not fill one window of every stream, if a text with
  /// `exact` has fewer than two characters (`what` names the text), or if `streams` or `window` is below 1. With
  /// `exact`, `streams` is limited to N-1.
  TextStreams(torch::Tensor text, int64_t streams, int64_t window, bool exact = false,
              const std::string& what = "the text");

  /// Number of windows in one pass over the text (an epoch).
  int64_t windows() const;
  /// B
  int64_t streams() const { return streams_; }

  /// Window `i` of the pass, 0 ≤ i < windows(). Windows can be read in any order, so that a resume needs no replay.
  /// `offset`, in [0, characters()), rotates the text: the pass begins at that character, and the text before it
  /// follows the end. Only without `exact`.
  TextWindow window(int64_t i, int64_t offset = 0) const;
  /// N
  int64_t characters() const { return text_.numel(); }

 private:
  torch::Tensor text_;
  int64_t streams_ = 0;
  int64_t window_ = 0;
  bool exact_ = false;
  int64_t each_ = 0;    ///< number of targets per stream
  int64_t longer_ = 0;  ///< the first `longer_` streams have one more target (exact only)
  int64_t length_ = 0;  ///< number of targets of the longest stream
};

}  // namespace hmrnn
