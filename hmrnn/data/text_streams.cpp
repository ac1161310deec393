#include "hmrnn/data/text_streams.h"

#include <algorithm>
#include <utility>

#include "hmrnn/error.h"

namespace hmrnn {

TextStreams::TextStreams(torch::Tensor text, int64_t streams, int64_t window, bool exact, const std::string& what)
    : text_(std::move(text)), streams_(streams), window_(window), exact_(exact) {
  TORCH_CHECK(text_.defined() && text_.dim() == 1 && text_.scalar_type() == torch::kUInt8 && text_.device().is_cpu(),
              "TextStreams: text must be a uint8 CPU tensor [N]");
  if (streams < 1) throw Error("the number of streams (batch size) must be at least 1, not " + std::to_string(streams));
  if (window < 1) throw Error("the window must be at least 1 step, not " + std::to_string(window));
  text_ = text_.contiguous();
  const int64_t characters = text_.numel();
  if (exact_) {
    if (characters < 2) {
      throw Error(what + " has " + std::to_string(characters) + " characters; to be scored it needs at least 2");
    }
    streams_ = std::min(streams_, characters - 1);
    each_ = (characters - 1) / streams_;
    longer_ = (characters - 1) % streams_;
  } else {
    // Two divisions instead of one by a product, which could overflow.
    const int64_t windows = characters < 2 ? 0 : (characters - 1) / streams_ / window_;
    if (windows == 0) {
      throw Error(what + " has " + std::to_string(characters) + " characters, which is less than one window of " +
                  std::to_string(window_) + " steps in each of " + std::to_string(streams_) + " streams");
    }
    each_ = windows * window_;
  }
  length_ = each_ + (longer_ > 0 ? 1 : 0);
}

int64_t TextStreams::windows() const { return length_ / window_ + (length_ % window_ != 0 ? 1 : 0); }

TextWindow TextStreams::window(int64_t i, int64_t offset) const {
  TORCH_CHECK_INDEX(i >= 0 && i < windows(), "TextStreams: window ", i, " of ", windows());
  const int64_t characters = text_.numel();
  TORCH_CHECK(offset >= 0 && offset < characters && (offset == 0 || !exact_), "TextStreams: offset ", offset, " of ",
              characters, " characters");
  const int64_t begin = i * window_;
  const int64_t steps = std::min(window_, length_ - begin);

  TextWindow window;
  window.input = torch::empty({steps, streams_}, torch::kInt64);
  window.target = torch::empty({steps, streams_}, torch::kInt64);
  window.count = steps * streams_;
  window.first = i == 0;
  const auto* text = text_.data_ptr<uint8_t>();
  auto* input = window.input.data_ptr<int64_t>();
  auto* target = window.target.data_ptr<int64_t>();
  for (int64_t b = 0; b < streams_; ++b) {
    const int64_t stream = offset + b * each_ + std::min(b, longer_);
    // A stream that ends one step early (only in the last step of the pass) repeats its last pair with weight 0.
    const int64_t last = each_ + (b < longer_ ? 1 : 0) - 1;
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t at = std::min(begin + t, last);
      // One wrap is enough: the pass is no longer than the text.
      const int64_t here = stream + at < characters ? stream + at : stream + at - characters;
      input[t * streams_ + b] = text[here];
      target[t * streams_ + b] = text[here + 1 < characters ? here + 1 : 0];
    }
  }
  if (longer_ > 0 && begin + steps == length_) {
    window.weight = torch::ones({steps, streams_});
    window.weight[steps - 1].slice(0, longer_).zero_();
    window.count -= streams_ - longer_;
  }
  return window;
}

}  // namespace hmrnn
