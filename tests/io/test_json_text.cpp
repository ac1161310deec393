#include "catch.h"
#include "hmrnn/io/json_text.h"

using hmrnn::parse_json;

namespace {

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

}  // namespace

TEST_CASE("JSON of a stranger: what nests deeper than any of ours is no document, whatever it holds") {
  CHECK(parse_json(nested(hmrnn::kJsonMaxDepth)).is_array());
  CHECK(parse_json(nested(hmrnn::kJsonMaxDepth + 1)).is_discarded());
  CHECK(parse_json(nested(1'000'000)).is_discarded());
  CHECK(parse_json<nlohmann::ordered_json>(R"({"a":)" + nested(1'000'000) + "}").is_discarded());
  CHECK(parse_json(R"({"a":)" + std::string(1'000'000, '[')).is_discarded());
  // Neither brackets in strings nor many of them in sequence count as deep.
  CHECK(parse_json(R"(["\")" + std::string(1000, '[') + R"(", "\\", [[]]])").size() == 3);
  std::string wide = "[[]";
  for (int i = 0; i < 1000; ++i) wide += ",[]";
  CHECK(parse_json(wide + "]").size() == 1001);
  CHECK(parse_json("{").is_discarded());
  CHECK(parse_json("").is_discarded());
  CHECK(parse_json(R"({"b":1,"a":2})").dump() == R"({"a":2,"b":1})");
}

TEST_CASE("a value in an error message is one short line") {
  CHECK(hmrnn::excerpt(parse_json(R"({"a":["\n",1]})")) == R"({"a":["\n",1]})");
  CHECK(hmrnn::excerpt(nlohmann::json(std::string(1000, 'x'))).size() == 63);
  CHECK(hmrnn::excerpt(nlohmann::json("\x1b\xff\xc2\x9b")) == R"("\u001b\ufffd\u009b")");
}

TEST_CASE("what is not UTF-8 cannot be stored, and is named") {
  CHECK(hmrnn::stored_json(nlohmann::json{{"a", "\u00e9"}}) == "{\"a\":\"\u00e9\"}");
  CHECK_THROWS_WITH(hmrnn::stored_json(nlohmann::ordered_json{{"format", 1}, {"corpus", {{"name", "a\xff.txt"}}}}),
                    ContainsSubstring("the entry corpus/name cannot be stored") && ContainsSubstring("a\\ufffd.txt"));
}
