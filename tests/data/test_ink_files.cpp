// Finding, visiting and hashing sets of lineStrokes files.
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
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

/// Paths and bytes, in the order of the visits.
Visited visit(const fs::path& data_dir) {
  Visited out;
  visit_ink_files(find_ink_source(data_dir),
                  [&](const std::string& path, std::string_view bytes) { out.emplace_back(path, bytes); });
  return out;
}

/// Files that are refused, and why; `visited` gets the others.
Visited refused_files(const fs::path& data_dir, Visited& visited) {
  Visited out;
  visit_ink_files(
      find_ink_source(data_dir),
      [&](const std::string& path, std::string_view bytes) { visited.emplace_back(path, bytes); },
      [&](const std::string& path, const std::string& what) { out.emplace_back(path, what); });
  return out;
}

/// Turns the member of a tar archive whose header begins at byte `header` into one of another type (a flag of ustar),
/// which links to `target`.
void set_member_type(std::string& archive, size_t header, char type, const std::string& target) {
  archive.at(header + 156) = type;
  archive.replace(header + 157, target.size(), target);
  const auto begin = archive.begin() + static_cast<std::ptrdiff_t>(header);
  std::fill_n(begin + 148, 8, ' ');
  unsigned sum = 0;
  std::for_each(begin, begin + 512, [&](char c) { sum += static_cast<unsigned char>(c); });
  std::snprintf(&archive[header + 148], 8, "%06o", sum);
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
  CHECK(visit(archive.path) == expected);  // the archive is made from a map, so it is sorted by name too
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

TEST_CASE("a file that is too large or cannot be read is left out and reported, and the visit continues") {
  const TemporaryFolder folder, archive;
  folder.write("a.xml", "1");
  fs::resize_file(folder.write("huge.xml", "x"), uint64_t{1} << 40);  // sparse; reading it would take hours
  folder.write("z.xml", "2");
  archive.write("lineStrokes-all.tar",
                tar({{"a.xml", "1"}, {"huge.xml", std::string((size_t{64} << 20) + 1, 'x')}, {"z.xml", "2"}}));
  for (const auto& data_dir : {folder.path, archive.path}) {
    Visited visited, refused;
    visit_ink_files(
        find_ink_source(data_dir),
        [&](const std::string& path, std::string_view bytes) { visited.emplace_back(path, bytes); },
        [&](const std::string& path, const std::string& what) { refused.emplace_back(path, what); });
    CHECK(visited == Visited{{"a.xml", "1"}, {"z.xml", "2"}});
    CHECK(refused == Visited{{"huge.xml", " has more than 64 MiB, which no line of handwriting has"}});
  }
  CHECK(ink_content_key(find_ink_source(folder.path)).size() == 32);
}

TEST_CASE("links to folders are followed, and each folder is searched once, whatever links lead back to it") {
  const TemporaryFolder folder, elsewhere;
  folder.write("lineStrokes/a/x.xml", "1");
  folder.write("beside/w.xml", "0");
  elsewhere.write("y.xml", "2");
  elsewhere.write("deeper/z.xml", "3");
  fs::create_directory_symlink(elsewhere.path, folder / "lineStrokes/b");
  fs::create_directory_symlink("..", folder / "lineStrokes/a/up");
  fs::create_directory_symlink("a", folder / "lineStrokes/0");  // a's file keeps the path without a link
  fs::create_directory_symlink(folder / "lineStrokes", elsewhere / "back");
  const Visited expected = {{"a/x.xml", "1"}, {"b/deeper/z.xml", "3"}, {"b/y.xml", "2"}};
  CHECK(visit(folder.path) == expected);
  const auto source = find_ink_source(folder.path);
  const auto key = ink_content_key(source);
  put(elsewhere / "y.xml", "4");
  CHECK(ink_content_key(source) != key);
  // Also a link out of the folder and back into it.
  fs::create_directory_symlink(folder.path, folder / "lineStrokes/out");
  CHECK(visit(folder.path).back() == std::pair<std::string, std::string>("out/beside/w.xml", "0"));
  CHECK(visit(folder.path).size() == 4);
}

TEST_CASE("what is called .xml and is no file, and links that lead nowhere, are refused by name in a folder") {
  const TemporaryFolder folder, elsewhere;
  const auto file = elsewhere.write("file", "2");
  folder.write("a.xml", "1");
  fs::create_symlink("gone.xml", folder / "b.xml");
  REQUIRE(::mkfifo((folder / "c.xml").c_str(), 0600) == 0);
  fs::create_symlink("/dev/zero", folder / "d.xml");
  fs::create_symlink("e.xml", folder / "e.xml");
  fs::create_symlink("/gone/a01-000", folder / "form");  // the folder of a form, whose disk is not mounted
  fs::create_symlink("gone", folder / "notes.txt");
  fs::create_symlink("gone", folder / ".lock");
  fs::create_symlink(file, folder / "z.xml");
  Visited visited;
  const auto refused = refused_files(folder.path, visited);
  CHECK(visited == Visited{{"a.xml", "1"}, {"z.xml", "2"}});
  CHECK(refused == Visited{{"b.xml", ": cannot open it: No such file or directory"},
                           {"c.xml", ": it is not a regular file"},
                           {"d.xml", ": it is not a regular file"},
                           {"e.xml", ": cannot open it: Too many levels of symbolic links"},
                           {"form", ": cannot open it: No such file or directory"}});
  CHECK(error_of([&] { visit(folder.path); }) ==
        (folder / "b.xml").string() + ": cannot open it: No such file or directory");
  CHECK(ink_content_key(find_ink_source(folder.path)).size() == 32);  // does not wait for the pipe either
}

TEST_CASE("what is called .xml and is no file is refused by name in an archive; a hard link with data is a file") {
  if (!archives_can_be_read()) return;
  const TemporaryFolder folder;
  auto bytes = tar({{"a.xml", "1"},
                    {"b.xml", ""},
                    {"c.xml", ""},
                    {"d.xml", ""},
                    {"e.xml", ""},
                    {"f.xml", ""},
                    {"g.txt", ""},
                    {"h", "14 comment=hi\n"},  // a header of pax, which allows hard links with data
                    {"i.xml", "2"},
                    {"z.xml", "3"}});
  REQUIRE(bytes.size() == 14 * 512 + 1024);  // a header each, and the data of four
  set_member_type(bytes, 2 * 512, '2', "a.xml");
  set_member_type(bytes, 3 * 512, '1', "a.xml");
  set_member_type(bytes, 4 * 512, '6', "");
  set_member_type(bytes, 5 * 512, '3', "");
  set_member_type(bytes, 6 * 512, '5', "");  // a folder, which has no data to lose
  set_member_type(bytes, 7 * 512, '2', "a.xml");
  set_member_type(bytes, 8 * 512, 'x', "");
  set_member_type(bytes, 10 * 512, '1', "a.xml");
  const auto path = folder.write("lineStrokes-all.tar", bytes);
  Visited visited;
  const auto refused = refused_files(folder.path, visited);
  CHECK(visited == Visited{{"a.xml", "1"}, {"i.xml", "2"}, {"z.xml", "3"}});
  CHECK(refused == Visited{{"b.xml", " is a symbolic link, not a regular file"},
                           {"c.xml", " is a hard link without data, not a regular file"},
                           {"d.xml", " is a named pipe, not a regular file"},
                           {"e.xml", " is a device, not a regular file"}});
  CHECK(error_of([&] { visit(folder.path); }) == path.string() + ": b.xml is a symbolic link, not a regular file");
}

TEST_CASE("an archive that was cut between two of its files is refused, several in one file are all read") {
  const TemporaryFolder folder;
  const std::string one = tar({{"a.xml", "1"}}), two = tar({{"b.xml", "2"}});
  const auto path = folder.write("x.tar", one + two);
  CHECK(visit(path) == Visited{{"a.xml", "1"}, {"b.xml", "2"}});
  const auto both = tar({{"a.xml", "1"}, {"b.xml", "2"}});
  REQUIRE(both.size() == 4 * 512 + 1024);
  const auto cut_off = "cannot read " + path.string() + ": it is cut off: its end mark is missing";
  for (const size_t size : {1024, 2048}) {  // after the first file, and before the end mark
    put(path, both.substr(0, size));
    CHECK(error_of([&] { visit(path); }) == cut_off);
  }
  for (size_t size = 1; size < 2048; size += 93) {
    put(path, both.substr(0, size));
    CHECK_THAT(error_of([&] { visit(path); }), ContainsSubstring("cannot read " + path.string()));
  }
  put(path, both.substr(0, 2560));  // one of the usual two empty blocks
  CHECK(visit(path).size() == 2);
  put(path, "");
  CHECK_THAT(error_of([&] { visit(path); }), ContainsSubstring(path.string()));
}

TEST_CASE("a pipe or a device in place of an archive is refused, without waiting for it") {
  const TemporaryFolder folder;
  const auto pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  for (const fs::path& path : {pipe, fs::path("/dev/zero")}) {
    CHECK(error_of([&] { visit(path); }) == path.string() + " is not a regular file");
    CHECK(error_of([&] { ink_content_key(find_ink_source(path)); }) == path.string() + " is not a regular file");
  }
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
  // a byte moves from one file to the next
  TemporaryFolder c, d;
  c.write("a.xml", "12");
  c.write("b.xml", "3");
  d.write("a.xml", "1");
  d.write("b.xml", "23");
  CHECK(ink_content_key({c.path, c.path}) != ink_content_key({d.path, d.path}));
}
