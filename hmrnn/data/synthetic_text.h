#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// A text with known boundaries from a seeded grammar of syllables, words and phrases; the same on every machine
/// (integer arithmetic and its own generator). The last letter of a word also ends a syllable. The line end of a phrase
/// follows the last letter of a word; spaces and line ends belong to no syllable and no word.
struct SyntheticText {
  std::string text;                   ///< lower-case letters, a space between words, a line end after each phrase
  std::vector<uint8_t> syllable_end;  ///< per character: 1 at the last character of a syllable
  std::vector<uint8_t> word_end;      ///< 1 at the last letter of a word
  std::vector<uint8_t> phrase_end;    ///< 1 at the last character of a phrase (its line end)
};

/// Generates text without end: `next(n)` continues where the last call stopped. Lexicon and grammar are fixed; the seed
/// chooses a text in this language, so texts of two seeds can serve as training and test data. Copies of a generator
/// share one state.
class HMRNN_API SyntheticTextGenerator {
 public:
  /// Equal seeds give equal texts on every machine.
  explicit SyntheticTextGenerator(uint64_t seed = 1);
  /// Every character that the grammar can write, in ascending byte order.
  static const std::string& alphabet();

  /// The next `length` characters (≥ 0) with their boundaries; may end within a word.
  SyntheticText next(int64_t length);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hmrnn
