#include <algorithm>
#include <set>

#include "catch.h"
#include "hmrnn/data/ink_splits.h"
#include "hmrnn/error.h"
#include "support/temporary_folder.h"

using namespace hmrnn;

namespace {

/// Forms with the given numbers of lines: "f000-01" and so on.
std::vector<InkLine> lines_of(const std::vector<int>& sizes) {
  std::vector<InkLine> out;
  for (size_t form = 0; form < sizes.size(); ++form) {
    for (int i = 0; i < sizes[form]; ++i) {
      InkLine line;
      line.name = "f" + std::to_string(1000 + form) + "-" + std::to_string(10 + i);
      line.points = {{0, 0, true}};
      out.push_back(line);
    }
  }
  return out;
}

size_t in_two_parts(const std::vector<InkLine>& lines, const InkSplits& splits) {
  std::map<std::string, std::set<std::string>> parts;
  for (const auto& [part, indices] : splits.parts) {
    for (const auto i : indices) parts[form_of(lines[i].name)].insert(part);
  }
  return static_cast<size_t>(std::count_if(parts.begin(), parts.end(), [](auto& p) { return p.second.size() > 1; }));
}

}  // namespace

TEST_CASE("the paper's split: its counts exactly, every line once, forms whole, another seed another split") {
  std::vector<int> sizes;
  for (int left = 11628, i = 0; left > 0; ++i) {
    sizes.push_back(std::min(left, 4 + i * 7 % 9));
    left -= sizes.back();
  }
  const auto lines = lines_of(sizes);
  REQUIRE(lines.size() == 11628);
  const auto a = split_as_the_paper(lines, 1), again = split_as_the_paper(lines, 1), b = split_as_the_paper(lines, 2);
  CHECK(a.parts.at("train").size() == 10465);
  CHECK(a.parts.at("valid").size() == 581);
  CHECK(a.parts.at("test").size() == 582);
  CHECK(a.divided_forms == 0);
  CHECK(in_two_parts(lines, a) == 0);
  CHECK(a.parts == again.parts);
  CHECK(a.parts.at("test") != b.parts.at("test"));
  std::vector<size_t> all;
  for (const auto& [part, indices] : a.parts) {
    CHECK(std::is_sorted(indices.begin(), indices.end()));
    all.insert(all.end(), indices.begin(), indices.end());
  }
  std::sort(all.begin(), all.end());
  REQUIRE(all.size() == lines.size());
  for (size_t i = 0; i < all.size(); ++i) REQUIRE(all[i] == i);
}

TEST_CASE("the paper's split: where forms are too large to fit, one is divided for each part, and the counts hold") {
  const auto lines = lines_of(std::vector<int>(4, 50));  // of 200 lines: 10 for test, 10 for valid
  const auto splits = split_as_the_paper(lines, 1);
  CHECK(splits.parts.at("test").size() == 10);
  CHECK(splits.parts.at("valid").size() == 10);
  CHECK(splits.parts.at("train").size() == 180);
  CHECK(splits.divided_forms >= 1);
  CHECK(splits.divided_forms <= 2);
  CHECK(splits.divided_forms == in_two_parts(lines, splits));
}

TEST_CASE("the paper's split: few lines still give three parts, two are refused") {
  for (const int count : {3, 4, 10, 25}) {
    const auto splits = split_as_the_paper(lines_of({count}), 1);
    CHECK(splits.parts.at("test").size() >= 1);
    CHECK(splits.parts.at("valid").size() >= 1);
    CHECK(splits.parts.at("train").size() >= 1);
    CHECK(splits.parts.at("train").size() + splits.parts.at("valid").size() + splits.parts.at("test").size() ==
          static_cast<size_t>(count));
  }
  CHECK_THROWS_WITH(split_as_the_paper(lines_of({2}), 1), ContainsSubstring("at least 3 lines"));
}

TEST_CASE("Graves' split follows the lists, and counts what is in none") {
  hmrnn::test::TemporaryFolder folder;
  folder.write("trainset.txt", " f1000\n f1001\n");
  folder.write("testset_v.txt", " f1002\n");
  folder.write("testset_t.txt", "f1003\r\n");
  folder.write("testset_f.txt", " f1004\n f9999\n");
  const auto lines = lines_of({2, 3, 4, 1, 2, 5});
  const auto splits = split_as_graves(lines, folder.path);
  CHECK(splits.parts.at("train") == std::vector<size_t>{0, 1, 2, 3, 4});
  CHECK(splits.parts.at("valid") == std::vector<size_t>{5, 6, 7, 8});
  CHECK(splits.parts.at("valid2") == std::vector<size_t>{9});
  CHECK(splits.parts.at("test") == std::vector<size_t>{10, 11});
  CHECK(splits.unlisted == 5);
  CHECK(splits.divided_forms == 0);

  folder.write("testset_t.txt", "f1003 f1000\n");
  CHECK_THROWS_WITH(split_as_graves(lines, folder.path),
                    ContainsSubstring("testset_t.txt: form f1000 is listed already, in train"));
  folder.write("testset_t.txt", "f8888\n");
  CHECK_THROWS_WITH(split_as_graves(lines, folder.path), ContainsSubstring("valid2"));
  std::filesystem::remove(folder / "testset_f.txt");
  CHECK_THROWS_WITH(split_as_graves(lines, folder.path), ContainsSubstring("testset_f.txt"));
}

TEST_CASE("a split by line has the paper's counts, every line once, and divides forms") {
  std::vector<int> sizes(1938, 6);
  const auto lines = lines_of(sizes);
  REQUIRE(lines.size() == 11628);
  const auto a = split_by_line(lines, 1), again = split_by_line(lines, 1), b = split_by_line(lines, 2);
  CHECK(a.parts.at("train").size() == 10465);
  CHECK(a.parts.at("valid").size() == 581);
  CHECK(a.parts.at("test").size() == 582);
  CHECK(a.parts == again.parts);
  CHECK(a.parts.at("test") != b.parts.at("test"));
  CHECK(a.divided_forms == in_two_parts(lines, a));
  CHECK(a.divided_forms > 500);
  std::set<size_t> all;
  for (const auto& [part, indices] : a.parts) {
    CHECK(std::is_sorted(indices.begin(), indices.end()));
    all.insert(indices.begin(), indices.end());
  }
  CHECK(all.size() == lines.size());
  CHECK_THROWS_WITH(split_by_line(lines_of({1, 1}), 1), ContainsSubstring("at least 3 lines"));
}
