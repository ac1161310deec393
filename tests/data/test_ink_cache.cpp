// Reading and caching sets of lineStrokes files.
#include "catch.h"
#include "hmrnn/data/ink_cache.h"
#include "support/ink_files.h"
#include "support/ink_point.h"

using namespace hmrnn;
using namespace hmrnn::test;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> names(const ParsedInk& ink) {
  std::vector<std::string> out;
  for (const auto& line : ink.lines) out.push_back(line.name);
  return out;
}

bool same_lines(const ParsedInk& a, const ParsedInk& b) {
  if (names(a) != names(b)) return false;
  for (size_t i = 0; i < a.lines.size(); ++i) {
    if (a.lines[i].points != b.lines[i].points) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a folder and an archive of the same files hold the same lines") {
  if (!archives_can_be_read()) return;
  TemporaryFolder folder, archive;
  unpack(folder, sample_files());
  archive.write("lineStrokes-all.tar", tar(sample_files()));
  const auto from_folder = parse_ink_files(find_ink_source(folder.path), OnBadFile::Stop);
  const auto from_archive = parse_ink_files(find_ink_source(archive.path), OnBadFile::Stop);
  CHECK(names(from_folder) == std::vector<std::string>{"first", "second", "third"});
  CHECK(same_lines(from_folder, from_archive));
  CHECK(from_folder.lines[0].points == make_synthetic_ink(3, 4)[0].points);
  CHECK(same_lines(from_folder, parse_ink_files(find_ink_source(archive / "lineStrokes-all.tar"), OnBadFile::Stop)));
  CHECK_FALSE(from_folder.cached);
  CHECK(from_folder.cache.empty());
}

TEST_CASE("malformed files stop the load, or are left out and named") {
  TemporaryFolder folder;
  auto files = sample_files();
  files["lineStrokes/b/broken.xml"] = "<WhiteboardCaptureSession>";
  files["lineStrokes/c/empty.xml"] = "";
  unpack(folder, files);
  const auto source = find_ink_source(folder.path);
  CHECK_THAT(error_of([&] { parse_ink_files(source, OnBadFile::Stop); }),
             ContainsSubstring((folder / "lineStrokes/b/broken.xml").string() + ": not well-formed XML"));
  const auto cache = folder / "cache";
  for (const bool cached : {false, true}) {
    const auto ink = parse_ink_files(source, OnBadFile::Skip, cache);
    CHECK(ink.cached == cached);
    CHECK(names(ink) == std::vector<std::string>{"first", "second", "third"});
    REQUIRE(ink.file_errors.size() == 2);
    CHECK_THAT(ink.file_errors[0], ContainsSubstring("broken.xml: not well-formed"));
    CHECK_THAT(ink.file_errors[1], ContainsSubstring("empty.xml: not well-formed"));
  }
  // With OnBadFile::Stop, an error that is in the cache is thrown too.
  CHECK_THAT(error_of([&] { parse_ink_files(source, OnBadFile::Stop, cache); }), ContainsSubstring("broken.xml"));
  CHECK(parse_on_bad_file("skip") == OnBadFile::Skip);
  CHECK_THROWS_AS(parse_on_bad_file("ignore"), Error);
}

TEST_CASE("errors from the cache name the files at hand, not those of an earlier load") {
  TemporaryFolder first, second, caches;
  auto files = sample_files();
  files["lineStrokes/b/broken.xml"] = "<WhiteboardCaptureSession>";
  for (const auto* folder : {&first, &second}) {
    unpack(*folder, files);
    fs::resize_file(folder->write("lineStrokes/huge.xml", ""), (uint64_t{64} << 20) + 1);
  }
  parse_ink_files(find_ink_source(first.path), OnBadFile::Skip, caches.path);
  const auto ink = parse_ink_files(find_ink_source(second.path), OnBadFile::Skip, caches.path);
  CHECK(ink.cached);
  REQUIRE(ink.file_errors.size() == 2);
  CHECK_THAT(ink.file_errors[0],
             ContainsSubstring((second / "lineStrokes/b/broken.xml").string() + ": not well-formed"));
  CHECK(ink.file_errors[1] ==
        (second / "lineStrokes/huge.xml").string() + " has more than 64 MiB, which no line of handwriting has");
  CHECK(error_of([&] { parse_ink_files(find_ink_source(second.path), OnBadFile::Stop, caches.path); }) ==
        ink.file_errors[0]);
}

TEST_CASE("two files of one name are refused") {
  TemporaryFolder folder;
  auto files = sample_files();
  files["lineStrokes/other/first.xml"] = files["lineStrokes/third.xml"];
  unpack(folder, files);
  CHECK_THAT(error_of([&] { parse_ink_files(find_ink_source(folder.path), OnBadFile::Skip); }),
             ContainsSubstring("are called first.xml"));
}

TEST_CASE("the second load comes from the cache, a changed file does not, and damage is made good") {
  TemporaryFolder folder;
  unpack(folder, sample_files());
  const auto source = find_ink_source(folder.path);
  const auto cache = folder / "cache/ink";
  const auto first = parse_ink_files(source, OnBadFile::Stop, cache);
  CHECK_FALSE(first.cached);
  CHECK(first.cache_error.empty());
  REQUIRE(fs::exists(first.cache));
  const auto second = parse_ink_files(source, OnBadFile::Stop, cache);
  CHECK(second.cached);
  CHECK(same_lines(first, second));

  const auto bytes = get(first.cache);
  for (const size_t size : {size_t{0}, size_t{7}, bytes.size() / 2, bytes.size() - 1}) {
    INFO(size << " of " << bytes.size() << " bytes left");
    put(first.cache, bytes.substr(0, size));
    const auto again = parse_ink_files(source, OnBadFile::Stop, cache);
    CHECK_FALSE(again.cached);
    CHECK(same_lines(first, again));
    CHECK(get(first.cache) == bytes);
  }

  const auto lines = make_synthetic_ink(4, 4);
  put(folder / "lineStrokes/third.xml", format_ink_xml(lines[3]));
  const auto changed = parse_ink_files(source, OnBadFile::Stop, cache);
  CHECK_FALSE(changed.cached);
  CHECK(changed.lines[2].points == lines[3].points);
}

TEST_CASE("a cache that cannot be written is no error, but is told") {
  TemporaryFolder folder;
  unpack(folder, sample_files());
  folder.write("cache", "a file where the folder should be");
  const auto ink = parse_ink_files(find_ink_source(folder.path), OnBadFile::Stop, folder / "cache");
  CHECK(ink.lines.size() == 3);
  CHECK_FALSE(ink.cached);
  CHECK_FALSE(ink.cache_error.empty());
}
