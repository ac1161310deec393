#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// A text with known boundaries: a seeded grammar of syllables, words and phrases. The same on every machine (integer
/// arithmetic only, own generator). A word's last letter ends a syllable as well, and a phrase's line end follows the
/// last letter of a word; the space between words and the line end belong to no syllable and no word.
struct SyntheticText {
  std::string text;                   ///< lower-case letters, a space between words, a line end after each phrase
  std::vector<uint8_t> syllable_end;  ///< per character: 1 at the last character of a syllable
  std::vector<uint8_t> word_end;      ///< 1 at the last letter of a word
  std::vector<uint8_t> phrase_end;    ///< 1 at the last character of a phrase (its line end)
};

/// The grammar as an endless stream: `next(n)` continues where the last call stopped. There is one language (lexicon
/// and grammar are fixed); a seed chooses a text in it, so that texts of two seeds can be training and test data.
/// Copies of a generator share one stream.
class HMRNN_API SyntheticTextGenerator {
 public:
  /// Equal seeds give equal texts on every machine.
  explicit SyntheticTextGenerator(uint64_t seed = 1);
  /// Every character that the grammar can write, in ascending byte order.
  static const std::string& alphabet();

  /// The next `length` characters (≥ 0) with their boundaries, cut wherever the length falls.
  SyntheticText next(int64_t length);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hmrnn
