#include <cstdint>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/analysis/text_events.h"
#include "hmrnn/error.h"

namespace {

std::string shown(const std::vector<uint8_t>& marks) {
  std::string out;
  for (const auto mark : marks) out += mark != 0 ? '|' : '.';
  return out;
}

}  // namespace

TEST_CASE("spaces, and the ends of words before them") {
  const std::string text = "ab  c\n\nd e";
  CHECK(shown(hmrnn::space_marks(text)) == "..||.||.|.");
  CHECK(shown(hmrnn::word_end_marks(text)) == ".|..|..|.|");
  CHECK(hmrnn::word_end_marks("").empty());
}

TEST_CASE("boundaries that are marked in a text") {
  const auto marked = hmrnn::read_marked_text("|the| c|at||s|at", "gold.txt");
  CHECK(marked.text == "the catsat");
  CHECK(shown(marked.events) == "..|.|.||..");
  CHECK_THROWS_WITH(hmrnn::read_marked_text("the cat", "gold.txt"), ContainsSubstring("gold.txt"));
  CHECK_THROWS_WITH(hmrnn::read_marked_text("||", "gold.txt"), ContainsSubstring("no boundary"));
}

TEST_CASE("boundaries as positions") {
  CHECK(shown(hmrnn::read_positions("[0, 3]", 5, "gold.json")) == "|..|.");
  CHECK(shown(hmrnn::read_positions(R"({"positions": [4], "by": "hand"})", 5, "gold.json")) == "....|");
  CHECK(shown(hmrnn::read_positions("[]", 2, "gold.json")) == "..");
  for (const char* wrong : {"[5]", "[-1]", "[1.5]", "[\"1\"]", "{}", "3", "[0, 3"}) {
    CHECK_THROWS_WITH(hmrnn::read_positions(wrong, 5, "gold.json"), ContainsSubstring("gold.json"));
  }
  // An error message must not recurse once per level.
  const auto deep = std::string(500000, '[') + std::string(500000, ']');
  CHECK_THROWS_WITH(hmrnn::read_positions(deep, 5, "gold.json"), ContainsSubstring("gold.json"));
}
