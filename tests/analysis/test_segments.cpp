#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/analysis/segments.h"

namespace {

/// "..|.|" → 0 0 1 0 1
std::vector<uint8_t> marks(const std::string& text) {
  std::vector<uint8_t> out;
  for (const char c : text) out.push_back(c == '|' ? 1 : 0);
  return out;
}

}  // namespace

TEST_CASE("lengths of segments, the unfinished one left out") {
  hmrnn::SegmentLengths lengths;
  lengths.add(marks("..|||...|.."));  // 3 1 1 4
  lengths.add(marks("|"));            // 1
  CHECK(lengths.histogram == std::map<int64_t, int64_t>{{1, 3}, {3, 1}, {4, 1}});
  CHECK(lengths.count() == 5);
  CHECK(lengths.mean() == Approx(2.0));
  CHECK(lengths.deviation() == Approx(1.2649110640673518));  // √((3·1 + 1 + 4) / 5)
  CHECK(lengths.median() == 1);
}

TEST_CASE("no segment at all") {
  hmrnn::SegmentLengths lengths;
  lengths.add(marks("...."));
  CHECK(lengths.count() == 0);
  CHECK(lengths.mean() == 0);
  CHECK(lengths.deviation() == 0);
  CHECK(lengths.median() == 0);
}

TEST_CASE("frequent segments, most frequent first, ties in the order of bytes") {
  const std::string text = "ab ab c c b ";
  const auto found = hmrnn::frequent_segments(text, marks("..|..|.|.|.|"), 10);
  CHECK(found == std::vector<std::pair<std::string, int64_t>>{{"ab ", 2}, {"c ", 2}, {"b ", 1}});
  CHECK(hmrnn::frequent_segments(text, marks("..|..|.|.|.|"), 1).size() == 1);
  CHECK_THROWS_AS(hmrnn::frequent_segments("abc", marks("|"), 1), std::invalid_argument);
}
