#include "hmrnn/data/synthetic_text.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <utility>

#include "hmrnn/data/split_mix.h"

namespace hmrnn {
namespace {

using Word = std::vector<std::string>;  // syllables

/// Words of one class, drawn with frequencies 1 / (rank + 3), rank from 0: close to Zipf's law.
class WordClass {
 public:
  void add(Word word) {
    words_.push_back(std::move(word));
    const uint64_t before = cumulative_.empty() ? 0 : cumulative_.back();
    cumulative_.push_back(before + 1'000'000 / (cumulative_.size() + 3));
  }
  const Word& draw(SplitMix64& random) const {
    const uint64_t at = random.below(cumulative_.back());
    const auto rank = std::upper_bound(cumulative_.begin(), cumulative_.end(), at) - cumulative_.begin();
    return words_[static_cast<size_t>(rank)];
  }

 private:
  std::vector<Word> words_;
  std::vector<uint64_t> cumulative_;
};

/// The language. All word classes share one set of syllables. A noun has a gender, which its last syllable shows; its
/// article and adjective agree with it. Verbs and adverbs have endings too. So the text is predictable within a
/// syllable, within a word, and from word to word, over growing distances.
struct Lexicon {
  static constexpr size_t kGenders = 2;
  std::array<WordClass, kGenders> articles, adjectives, nouns;
  WordClass verbs, adverbs, prepositions, conjunctions;

  Lexicon() {
    make_syllables();
    const std::array<std::string, kGenders> adjective_ending = {"ro", "ra"}, noun_ending = {"mon", "sel"};
    make(conjunctions, 3, 1, 1, "");
    make(prepositions, 8, 1, 1, "");
    for (auto& each : articles) make(each, 3, 1, 1, "");
    for (size_t g = 0; g < kGenders; ++g) {
      make(adjectives[g], 40, 1, 2, adjective_ending[g]);
      make(nouns[g], 120, 1, 3, noun_ending[g]);
    }
    make(verbs, 80, 1, 2, "ten");
    make(adverbs, 30, 1, 2, "li");
  }

 private:
  static constexpr uint64_t kLanguage = 1842;  // all seeds share one language
  static constexpr size_t kSyllables = 90;
  SplitMix64 random_{kLanguage};
  std::vector<std::string> syllables_;
  std::set<std::string> spellings_;

  void make_syllables() {
    static constexpr const char* kOnsets[] = {"b", "d", "f", "g", "k",  "l",  "m",  "n",  "p",
                                              "r", "s", "t", "v", "br", "st", "kl", "tr", "h"};
    static constexpr const char* kVowels[] = {"a", "e", "i", "o", "u", "ai"};
    static constexpr const char* kCodas[] = {"", "", "", "", "", "n", "r", "s", "l"};
    std::set<std::string> known;
    while (syllables_.size() < kSyllables) {
      std::string syllable = kOnsets[random_.below(std::size(kOnsets))];
      syllable += kVowels[random_.below(std::size(kVowels))];
      syllable += kCodas[random_.below(std::size(kCodas))];
      if (known.insert(syllable).second) syllables_.push_back(syllable);
    }
  }

  /// Adds `count` words of `shortest` … `longest` random syllables and the ending; no two words of the language are
  /// equal.
  void make(WordClass& words, size_t count, uint64_t shortest, uint64_t longest, const std::string& ending) {
    for (size_t made = 0; made < count;) {
      Word word;
      std::string spelling;
      for (uint64_t n = shortest + random_.below(longest - shortest + 1); n > 0; --n) {
        word.push_back(syllables_[random_.below(syllables_.size())]);
        spelling += word.back();
      }
      if (!ending.empty()) word.push_back(ending);
      if (!spellings_.insert(spelling + ending).second) continue;
      words.add(std::move(word));
      ++made;
    }
  }
};

const Lexicon& lexicon() {
  static const Lexicon instance;
  return instance;
}

}  // namespace

struct SyntheticTextGenerator::Impl {
  explicit Impl(uint64_t seed) : random(seed) {}

  SplitMix64 random;
  SyntheticText line;  // the phrase that next() copies from
  size_t taken = 0;    // its characters that were returned already

  void put(char c, bool syllable_end, bool word_end, bool phrase_end) {
    line.text.push_back(c);
    line.syllable_end.push_back(syllable_end);
    line.word_end.push_back(word_end);
    line.phrase_end.push_back(phrase_end);
  }

  void word(const WordClass& of) {
    if (!line.text.empty()) put(' ', false, false, false);
    const Word& syllables = of.draw(random);
    for (size_t s = 0; s < syllables.size(); ++s) {
      for (size_t c = 0; c < syllables[s].size(); ++c) {
        const bool syllable_end = c + 1 == syllables[s].size();
        put(syllables[s][c], syllable_end, syllable_end && s + 1 == syllables.size(), false);
      }
    }
  }

  /// article [adjective] noun [preposition article noun]; articles and adjectives agree with their noun.
  void noun_group() {
    const size_t gender = random.below(Lexicon::kGenders);
    word(lexicon().articles[gender]);
    if (random.chance(35)) word(lexicon().adjectives[gender]);
    word(lexicon().nouns[gender]);
    if (random.chance(20)) {
      word(lexicon().prepositions);
      const size_t other = random.below(Lexicon::kGenders);
      word(lexicon().articles[other]);
      word(lexicon().nouns[other]);
    }
  }

  void clause() {
    noun_group();
    word(lexicon().verbs);
    if (random.chance(70)) noun_group();
    if (random.chance(30)) word(lexicon().adverbs);
  }

  void phrase() {
    line = SyntheticText();
    taken = 0;
    clause();
    if (random.chance(20)) {
      word(lexicon().conjunctions);
      clause();
    }
    put('\n', false, false, true);
  }
};

SyntheticTextGenerator::SyntheticTextGenerator(uint64_t seed) : impl_(std::make_shared<Impl>(seed)) {}

const std::string& SyntheticTextGenerator::alphabet() {
  static const std::string letters = "\n abdefghiklmnoprstuv";
  return letters;
}

SyntheticText SyntheticTextGenerator::next(int64_t length) {
  TORCH_CHECK(length >= 0, "SyntheticTextGenerator::next: length must not be negative, but is ", length);
  SyntheticText result;
  while (result.text.size() < static_cast<size_t>(length)) {
    if (impl_->taken == impl_->line.text.size()) impl_->phrase();
    const SyntheticText& line = impl_->line;
    const size_t count = std::min(line.text.size() - impl_->taken, static_cast<size_t>(length) - result.text.size());
    const auto append = [&](auto& to, const auto& from) {
      to.insert(to.end(), from.begin() + static_cast<std::ptrdiff_t>(impl_->taken),
                from.begin() + static_cast<std::ptrdiff_t>(impl_->taken + count));
    };
    append(result.text, line.text);
    append(result.syllable_end, line.syllable_end);
    append(result.word_end, line.word_end);
    append(result.phrase_end, line.phrase_end);
    impl_->taken += count;
  }
  return result;
}

}  // namespace hmrnn
