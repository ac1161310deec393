// Finding, reading and caching sets of lineStrokes files.
#include <cstring>
#include <map>

#include "catch.h"
#include "hmrnn/data/ink_cache.h"
#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/synthetic_ink.h"
#include "support/files.h"

using namespace hmrnn;
namespace fs = std::filesystem;

namespace {

/// A tar archive (ustar) of the given files.
std::string tar(const std::map<std::string, std::string>& files) {
  std::string out;
  for (const auto& [name, bytes] : files) {
    char header[512] = {};
    std::snprintf(header, 100, "%s", name.c_str());
    std::snprintf(header + 100, 8, "%07o", 0644);
    std::snprintf(header + 124, 12, "%011o", static_cast<unsigned>(bytes.size()));
    std::snprintf(header + 136, 12, "%011o", 0);
    header[156] = '0';
    std::memcpy(header + 257, "ustar\00000", 8);
    std::memset(header + 148, ' ', 8);
    unsigned sum = 0;
    for (const char c : header) sum += static_cast<unsigned char>(c);
    std::snprintf(header + 148, 8, "%06o", sum);
    out.append(header, 512);
    out += bytes;
    out.append((512 - bytes.size() % 512) % 512, '\0');
  }
  return out + std::string(1024, '\0');
}

/// Three lines of synthetic ink at places such as IAM-OnDB's, and files that are none.
std::map<std::string, std::string> sample_files() {
  std::map<std::string, std::string> out;
  const auto lines = make_synthetic_ink(3, 4);
  out["lineStrokes/z/second.xml"] = format_ink_xml(lines[1]);
  out["lineStrokes/a01/a01-000/first.xml"] = format_ink_xml(lines[0]);
  out["lineStrokes/third.xml"] = format_ink_xml(lines[2]);
  out["lineStrokes/.DS_Store"] = "x";
  out["lineStrokes/a01/._first.xml"] = "a resource fork";
  out["lineStrokes/notes.txt"] = "notes";
  return out;
}

void unpack(const TemporaryFolder& folder, const std::map<std::string, std::string>& files) {
  for (const auto& [name, bytes] : files) folder.write(name, bytes);
}

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
  TemporaryFolder folder;
  const auto whole = tar(sample_files());
  const auto path = folder.write("lineStrokes-all.tar", whole.substr(0, 9000));
  CHECK_THAT(error_of([&] { parse_ink_files(find_ink_source(folder.path), OnBadFile::Skip); }),
             ContainsSubstring("cannot read " + path.string()));
  put(path, "no archive at all, but some words");
  CHECK_THAT(error_of([&] { parse_ink_files(find_ink_source(folder.path), OnBadFile::Skip); }),
             ContainsSubstring("cannot read " + path.string()));
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
    REQUIRE(ink.bad.size() == 2);
    CHECK_THAT(ink.bad[0], ContainsSubstring("broken.xml: not well-formed"));
    CHECK_THAT(ink.bad[1], ContainsSubstring("empty.xml: not well-formed"));
  }
  // What the cache knows does not make a stop less strict.
  CHECK_THAT(error_of([&] { parse_ink_files(source, OnBadFile::Stop, cache); }), ContainsSubstring("broken.xml"));
  CHECK(parse_on_bad_file("skip") == OnBadFile::Skip);
  CHECK_THROWS_AS(parse_on_bad_file("ignore"), Error);
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
