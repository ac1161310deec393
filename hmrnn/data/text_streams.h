#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// One window of B parallel streams.
struct TextWindow {
  torch::Tensor input;   ///< int64 [T, B]
  torch::Tensor target;  ///< int64 [T, B]: the character after each input
  torch::Tensor
      weight;  ///< float32 [T, B]: 0 where a stream has already ended (eval's last windows), else 1; undefined if all 1
  int64_t count = 0;   ///< targets with weight 1
  bool first = false;  ///< the streams start here: the carried state must be reset
};

/// Cuts a text into B contiguous streams and walks over them in windows of T steps, so that state can be carried from a
/// window to the next. Training drops what does not fill a window of every stream; evaluation (`exact`) scores each
/// character but the first exactly once (N-1 targets): the streams are then of unequal length by at most one, stream
/// b+1 starting at the character that ended stream b, and the last window may be shorter and masked (where a stream has
/// ended, its last pair is repeated with weight 0).
class HMRNN_API TextStreams {
 public:
  /// `text` uint8 [N]. Throws hmrnn::Error if a training text does not fill one window of every stream, or an exact one
  /// has fewer than two characters (`what` names it), or streams or window is below 1. With `exact`, streams is
  /// lowered to N-1 when larger.
  TextStreams(torch::Tensor text, int64_t streams, int64_t window, bool exact = false,
              const std::string& what = "the text");

  /// Windows in one pass over the text (an epoch).
  int64_t windows() const;
  /// B
  int64_t streams() const { return streams_; }

  /// Window `i` of the pass, 0 ≤ i < windows(); random access, so that a resume needs no replay. `offset` rolls the
  /// text: the pass begins at that character, in [0, characters()), and what lies before it comes after the text's end.
  /// Not with `exact`.
  TextWindow window(int64_t i, int64_t offset = 0) const;
  /// Length of the text.
  int64_t characters() const { return text_.numel(); }

 private:
  torch::Tensor text_;
  int64_t streams_ = 0;
  int64_t window_ = 0;
  bool exact_ = false;
  int64_t each_ = 0;    ///< targets of a stream
  int64_t longer_ = 0;  ///< the first `longer_` streams have one target more (exact only)
  int64_t length_ = 0;  ///< targets of the longest stream
};

}  // namespace hmrnn
