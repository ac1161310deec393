// Finding, visiting and telling apart sets of lineStrokes files.
#include <functional>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/data/ink_files.h"
#include "support/ink_files.h"

using namespace hmrnn;
using namespace hmrnn::test;
namespace fs = std::filesystem;

namespace {

using Visited = std::vector<std::pair<std::string, std::string>>;

/// Paths and bytes, as they come.
Visited visit(const fs::path& data_dir) {
  Visited out;
  visit_ink_files(find_ink_source(data_dir),
                  [&](const std::string& path, std::string_view bytes) { out.emplace_back(path, bytes); });
  return out;
}

}  // namespace

TEST_CASE("every .xml file is visited once with its bytes, in the order of the names or of the archive") {
  if (!archives_can_be_read()) return;
  const TemporaryFolder folder, archive;
  const auto files = sample_files();
  unpack(folder, files);
  archive.write("lineStrokes-all.tar", tar(files));
  Visited expected;
  for (const auto& [name, bytes] : files) {
    if (name.ends_with(".xml") && name.find("._") == std::string::npos) expected.emplace_back(name, bytes);
  }
  REQUIRE(expected.size() == 3);
  CHECK(visit(archive.path) == expected);  // a map, so the archive is in the order of the names too
  for (auto& [name, bytes] : expected) name.erase(0, std::string("lineStrokes/").size());
  CHECK(visit(folder.path) == expected);
}

TEST_CASE("what a visitor throws passes, and ends the visit") {
  const TemporaryFolder folder;
  unpack(folder, sample_files());
  int calls = 0;
  CHECK_THROWS_AS(visit_ink_files(find_ink_source(folder.path),
                                  [&](const std::string&, std::string_view) {
                                    ++calls;
                                    throw std::logic_error("enough");
                                  }),
                  std::logic_error);
  CHECK(calls == 1);
}

TEST_CASE("a file that is larger than any line of handwriting is refused, in a folder and in an archive") {
  if (!archives_can_be_read()) return;
  const TemporaryFolder folder, archive;
  const auto huge = folder.write("huge.xml", "x");
  fs::resize_file(huge, (uint64_t{64} << 20) + 1);  // sparse
  CHECK(error_of([&] { visit(folder.path); }) ==
        huge.string() + " has more than 64 MiB, which no line of handwriting has");
  const auto path = archive.write("lineStrokes-all.tar", tar({{"huge.xml", std::string((size_t{64} << 20) + 1, 'x')}}));
  CHECK(error_of([&] { visit(archive.path); }) ==
        path.string() + ": huge.xml has more than 64 MiB, which no line of handwriting has");
}

TEST_CASE("where files are looked for: lineStrokes, the archive, any .xml; what is not there is named") {
  TemporaryFolder folder;
  const auto dir = folder.path.string();
  CHECK(error_of([&] { find_ink_source(folder / "gone"); }) ==
        "cannot open " + (folder / "gone").string() + ": No such file or directory");
  CHECK(error_of([&] { find_ink_source(folder.path); }) ==
        "neither lineStrokes, lineStrokes-all.tar.xz nor any .xml file is in " + dir);
  folder.write("deep/er/x.xml", "");
  CHECK(find_ink_source(folder.path).path == folder.path);
  folder.write("lineStrokes-all.tar.xz", "");
  CHECK(find_ink_source(folder.path).path == folder / "lineStrokes-all.tar.xz");
  folder.write("lineStrokes/x.xml", "");
  CHECK(find_ink_source(folder.path).path == folder / "lineStrokes");
  CHECK(find_ink_source(folder.path).lists == folder.path);
  CHECK(find_ink_source(folder / "lineStrokes-all.tar.xz").lists == folder.path);
}

TEST_CASE("an archive that is damaged or none is named") {
  if (!archives_can_be_read()) return;
  TemporaryFolder folder;
  const auto whole = tar(sample_files());
  const auto path = folder.write("lineStrokes-all.tar", whole.substr(0, 9000));
  CHECK_THAT(error_of([&] { visit(folder.path); }), ContainsSubstring("cannot read " + path.string()));
  put(path, "no archive at all, but some words");
  CHECK_THAT(error_of([&] { visit(folder.path); }), ContainsSubstring("cannot read " + path.string()));
}

TEST_CASE("the key depends on every byte and name of the .xml files, and on nothing else") {
  TemporaryFolder a, b;
  unpack(a, sample_files());
  unpack(b, sample_files());
  const auto key = ink_content_key(find_ink_source(a.path));
  CHECK(key.size() == 32);
  CHECK(ink_content_key(find_ink_source(b.path)) == key);
  put(b / "lineStrokes/notes.txt", "other notes");
  CHECK(ink_content_key(find_ink_source(b.path)) == key);
  auto text = get(b / "lineStrokes/third.xml");
  text[text.find("x=\"") + 3] ^= 1;
  put(b / "lineStrokes/third.xml", text);
  CHECK(ink_content_key(find_ink_source(b.path)) != key);
  unpack(b, sample_files());
  CHECK(ink_content_key(find_ink_source(b.path)) == key);
  fs::rename(b / "lineStrokes/third.xml", b / "lineStrokes/fourth.xml");
  CHECK(ink_content_key(find_ink_source(b.path)) != key);
  // a byte that moves from one file to the next
  TemporaryFolder c, d;
  c.write("a.xml", "12");
  c.write("b.xml", "3");
  d.write("a.xml", "1");
  d.write("b.xml", "23");
  CHECK(ink_content_key({c.path, c.path}) != ink_content_key({d.path, d.path}));
}
