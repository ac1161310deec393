#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "catch.h"
#include "hmrnn/data/synthetic_text.h"

#include <c10/util/Exception.h>

using hmrnn::SyntheticText;
using hmrnn::SyntheticTextGenerator;

namespace {

uint64_t fnv1a(const std::string& bytes) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return hash;
}

int64_t ones(const std::vector<uint8_t>& flags) { return std::count(flags.begin(), flags.end(), uint8_t{1}); }

/// Bits per character of the text, predicted from `order` preceding characters by the text's own counts.
double conditional_entropy(const std::string& text, size_t order) {
  std::map<std::string, std::map<char, double>> counts;
  for (size_t i = order; i < text.size(); ++i) ++counts[text.substr(i - order, order)][text[i]];
  double bits = 0;
  for (const auto& [context, nexts] : counts) {
    double total = 0;
    for (const auto& [next, count] : nexts) total += count;
    for (const auto& [next, count] : nexts) bits -= count * std::log2(count / total);
  }
  return bits / static_cast<double>(text.size() - order);
}

}  // namespace

TEST_CASE("the text of seed 1 is the same on every machine") {
  const auto text = SyntheticTextGenerator(1).next(100'000).text;
  REQUIRE(text.size() == 100'000);
  CAPTURE(text.substr(0, 200));
  CHECK(fnv1a(text) == 0x5209ca1d117a5565ULL);
  CHECK(SyntheticTextGenerator().next(1000).text == text.substr(0, 1000));
}

TEST_CASE("another seed is another text of the same language") {
  const auto one = SyntheticTextGenerator(1).next(300'000).text, two = SyntheticTextGenerator(2).next(300'000).text;
  CHECK(one.substr(0, 200) != two.substr(0, 200));
  const auto words = [](const std::string& text) {
    std::istringstream stream(text.substr(0, text.rfind('\n')));
    std::set<std::string> all;
    for (std::string word; stream >> word;) all.insert(word);
    return all;
  };
  const auto first = words(one), second = words(two);
  size_t shared = 0;
  for (const auto& word : first) shared += second.count(word);
  CHECK(first.size() > 400);
  CHECK(static_cast<double>(shared) > 0.95 * static_cast<double>(first.size()));
}

TEST_CASE("the text's parts are one long text, whatever their lengths") {
  const auto whole = SyntheticTextGenerator(7).next(20'000);
  SyntheticTextGenerator generator(7);
  SyntheticText joined;
  for (int64_t length = 0; joined.text.size() < 20'000; length = (length + 7) % 500) {
    const auto part = generator.next(std::min<int64_t>(length, 20'000 - static_cast<int64_t>(joined.text.size())));
    joined.text += part.text;
    joined.syllable_end.insert(joined.syllable_end.end(), part.syllable_end.begin(), part.syllable_end.end());
    joined.word_end.insert(joined.word_end.end(), part.word_end.begin(), part.word_end.end());
    joined.phrase_end.insert(joined.phrase_end.end(), part.phrase_end.begin(), part.phrase_end.end());
  }
  CHECK(joined.text == whole.text);
  CHECK(joined.syllable_end == whole.syllable_end);
  CHECK(joined.word_end == whole.word_end);
  CHECK(joined.phrase_end == whole.phrase_end);
  CHECK_THROWS_AS(generator.next(-1), c10::Error);
  CHECK(generator.next(0).text.empty());
}

TEST_CASE("boundaries are nested and agree with the text") {
  const auto sample = SyntheticTextGenerator(3).next(200'000);
  const auto& text = sample.text;
  REQUIRE(sample.syllable_end.size() == text.size());
  REQUIRE(sample.word_end.size() == text.size());
  REQUIRE(sample.phrase_end.size() == text.size());
  size_t wrong = 0;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    const bool letter = text[i] >= 'a' && text[i] <= 'z', next_letter = text[i + 1] >= 'a' && text[i + 1] <= 'z';
    wrong += (sample.phrase_end[i] == 1) != (text[i] == '\n');
    wrong += (sample.word_end[i] == 1) != (letter && !next_letter);
    wrong += sample.word_end[i] == 1 && sample.syllable_end[i] != 1;
    wrong += sample.syllable_end[i] == 1 && !letter;
    wrong += !letter && !next_letter;  // no empty words or phrases
  }
  CHECK(wrong == 0);
  CHECK(ones(sample.syllable_end) > ones(sample.word_end));
  CHECK(ones(sample.word_end) > ones(sample.phrase_end));
}

TEST_CASE("every character is of the alphabet, and all of it occurs") {
  const auto text = SyntheticTextGenerator(1).next(100'000).text;
  std::set<char> seen(text.begin(), text.end());
  CHECK(std::string(seen.begin(), seen.end()) == SyntheticTextGenerator::alphabet());
}

TEST_CASE("syllables, words and phrases have the lengths of a language") {
  const auto sample = SyntheticTextGenerator(1).next(1'000'000);
  const double letters = static_cast<double>(
      std::count_if(sample.text.begin(), sample.text.end(), [](char c) { return c >= 'a' && c <= 'z'; }));
  const double syllables = static_cast<double>(ones(sample.syllable_end)),
               words = static_cast<double>(ones(sample.word_end)),
               phrases = static_cast<double>(ones(sample.phrase_end));
  CAPTURE(letters / syllables, syllables / words, letters / words, words / phrases);
  CHECK(std::abs(letters / syllables - 2.8) < 0.3);
  CHECK(std::abs(syllables / words - 2.1) < 0.3);
  CHECK(std::abs(letters / words - 5.9) < 0.5);
  CHECK(std::abs(words / phrases - 7.8) < 0.5);
}

TEST_CASE("the longer the context, the better the next character is known") {
  const auto text = SyntheticTextGenerator(1).next(500'000).text;
  std::array<double, 5> bits{};
  for (size_t order = 0; order < bits.size(); ++order) bits[order] = conditional_entropy(text, order);
  CAPTURE(bits[0], bits[1], bits[2], bits[3], bits[4]);
  CHECK(bits[0] > 3.5);
  for (size_t order = 1; order < bits.size(); ++order) CHECK(bits[order] < bits[order - 1] - 0.1);
  CHECK(bits[4] < 1.8);
  CHECK(bits[4] > 0.5);  // and yet it is not repetitive
}

TEST_CASE("articles agree with the nouns that follow them") {
  // A noun's last syllable shows its gender, and no article occurs with both genders.
  const auto text = SyntheticTextGenerator(5).next(300'000).text;
  std::istringstream stream(text.substr(0, text.rfind('\n')));
  std::map<std::string, std::array<int, 2>> endings;
  std::set<std::string> first_words;
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string first, second;
    words >> first >> second;
    first_words.insert(first);
    if (second.size() > 3 && second.ends_with("mon")) ++endings[first][0];
    if (second.size() > 3 && second.ends_with("sel")) ++endings[first][1];
  }
  CHECK(first_words.size() == 6);
  REQUIRE(endings.size() == 6);
  for (const auto& [article, count] : endings) {
    CAPTURE(article, count[0], count[1]);
    CHECK(count[0] + count[1] > 50);
    CHECK(std::min(count[0], count[1]) == 0);
  }
}
