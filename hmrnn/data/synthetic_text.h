#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// A text with known boundaries: a seeded grammar of syllables, words and phrases. The same on every machine (integer
/// arithmetic only, own generator).
struct SyntheticText {
  std::string text;                      ///< lower-case letters, spaces, phrase ends (". " / line ends)
  std::vector<uint8_t> syllable_end;     ///< per character: 1 at the last character of a syllable
  std::vector<uint8_t> word_end;         ///< 1 at the last letter of a word
  std::vector<uint8_t> phrase_end;       ///< 1 at the last character of a phrase (its line end)
};

/// The grammar as an endless stream: `next(n)` continues where the last call stopped.
class HMRNN_API SyntheticTextGenerator {
 public:
  explicit SyntheticTextGenerator(uint64_t seed = 1);
  /// The next `length` characters with their boundaries.
  SyntheticText next(int64_t length);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hmrnn
