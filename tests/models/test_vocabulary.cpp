#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/models/vocabulary.h"

using hmrnn::Error;
using hmrnn::Vocabulary;

TEST_CASE("a vocabulary of a text holds its bytes in ascending order") {
  const auto vocabulary = Vocabulary::of("banana\n\xff split");
  const std::vector<uint8_t> expected = {'\n', ' ', 'a', 'b', 'i', 'l', 'n', 'p', 's', 't', 0xff};
  CHECK(vocabulary.bytes() == expected);
  CHECK(vocabulary.size() == 11);
  CHECK(vocabulary.index('\n') == 0);
  CHECK(vocabulary.index(0xff) == 10);
  CHECK(vocabulary.contains('b'));
  CHECK_FALSE(vocabulary.contains('c'));
  CHECK_THROWS_WITH(vocabulary.index('c'), "byte 0x63 ('c') is not in the vocabulary");
}

TEST_CASE("index order is the order given") {
  const Vocabulary vocabulary({'z', 'a', 0});
  CHECK(vocabulary.index('z') == 0);
  CHECK(vocabulary.index('a') == 1);
  CHECK(vocabulary.index(0) == 2);
  CHECK(vocabulary == Vocabulary({'z', 'a', 0}));
  CHECK_FALSE(vocabulary == Vocabulary({'a', 'z', 0}));
}

TEST_CASE("a vocabulary without bytes or with a byte twice is refused") {
  CHECK_THROWS_AS(Vocabulary(std::vector<uint8_t>{}), Error);
  CHECK_THROWS_AS(Vocabulary::of(""), Error);
  CHECK_THROWS_WITH(Vocabulary({'a', 'b', 'a'}), "the vocabulary names byte 0x61 ('a') twice");
  CHECK(Vocabulary().size() == 0);
}

TEST_CASE("encode and decode are inverse over all 256 bytes") {
  std::string text;
  for (int byte = 255; byte >= 0; --byte) text += std::string(3, static_cast<char>(byte));
  const auto vocabulary = Vocabulary::of(text);
  REQUIRE(vocabulary.size() == 256);
  const auto indices = vocabulary.encode(text);
  REQUIRE(indices.scalar_type() == torch::kUInt8);
  REQUIRE(indices.sizes() == torch::IntArrayRef({768}));
  CHECK(indices[0].item<int64_t>() == 255);
  CHECK(indices[-1].item<int64_t>() == 0);
  CHECK(vocabulary.decode(indices) == text);
  CHECK(vocabulary.decode(indices.to(torch::kInt64)) == text);
  const auto every_third = vocabulary.decode(indices.slice(0, 0, 768, 3));  // strided
  REQUIRE(every_third.size() == 256);
  for (size_t i = 0; i < 256; ++i) CHECK(every_third[i] == text[3 * i]);
  CHECK(vocabulary.encode("").numel() == 0);
}

TEST_CASE("a byte outside the vocabulary is named with its text and offset") {
  const Vocabulary vocabulary({'b', 'c'});
  CHECK_THROWS_WITH(vocabulary.encode("bcbcA", "notes.txt"),
                    "notes.txt has byte 0x41 ('A') at offset 4, which is not in the vocabulary");
  CHECK_THROWS_WITH(vocabulary.encode("\xc3\xa4"),
                    "the text has byte 0xc3 at offset 0, which is not in the vocabulary");
}

TEST_CASE("decode refuses what are not indices of the vocabulary") {
  const Vocabulary vocabulary({'b', 'c'});
  CHECK_THROWS_AS(vocabulary.decode(torch::tensor({0, 2})), c10::Error);
  CHECK_THROWS_AS(vocabulary.decode(torch::tensor({-1})), c10::Error);
  CHECK_THROWS_AS(vocabulary.decode(torch::tensor({0.0})), c10::Error);
  CHECK_THROWS_AS(vocabulary.decode(torch::zeros({1, 1}, torch::kInt64)), c10::Error);
}

TEST_CASE("symbols are characters up to 0x7f, bytes beyond") {
  CHECK(hmrnn::Vocabulary({'a', '\n', 0x7f}).is_ascii());
  CHECK_FALSE(hmrnn::Vocabulary({'a', 0x80}).is_ascii());
}
