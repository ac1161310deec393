#include <algorithm>
#include <cmath>
#include <ctime>
#include <iostream>

#include "catch.h"
#include "hmrnn/data/data_dir.h"
#include "hmrnn/data/ink_corpus.h"
#include "hmrnn/data/ink_xml.h"
#include "hmrnn/data/synthetic_ink.h"
#include "support/files.h"
#include "support/ink_point.h"

using namespace hmrnn;

namespace {

InkCorpusOptions synthetic(int64_t lines) {
  InkCorpusOptions options;
  options.synthetic_lines = lines;
  options.cache.clear();
  return options;
}

}  // namespace

TEST_CASE("the number of synthetic lines has a bound, which the metadata of a stranger's model cannot pass") {
  for (const int64_t lines : {int64_t{0}, int64_t{1'000'001}, int64_t{1} << 60}) {
    CHECK_THAT(error_of([&] { load_ink_corpus(synthetic(lines)); }),
               ContainsSubstring("1 to 1000000 lines, not " + std::to_string(lines)));
  }
}

TEST_CASE("the hash of handwriting tells a point, a pen and a part from another") {
  const auto corpus = load_ink_corpus(synthetic(30));
  const auto before = corpus.content_hash();
  CHECK(before.size() == 16);
  CHECK(load_ink_corpus(synthetic(30)).content_hash() == before);
  auto other = corpus;
  other.lines[7].points[3].y += 0.01F;
  CHECK(other.content_hash() != before);
  other = corpus;
  other.lines[7].points[3].pen_up = !other.lines[7].points[3].pen_up;
  CHECK(other.content_hash() != before);
  other = corpus;
  std::swap(other.lines[2].points[0], other.lines[2].points[1]);
  CHECK(other.content_hash() != before);
  other = corpus;
  std::swap(other.parts["train"][0], other.parts["valid"][0]);
  CHECK(other.content_hash() != before);
}

TEST_CASE("the synthetic corpus: parts in the paper's proportion, short lines dropped") {
  auto options = synthetic(200);
  options.min_points = 500;
  const auto corpus = load_ink_corpus(options);
  const auto all = make_synthetic_ink(200, 1);
  const auto kept = std::count_if(all.begin(), all.end(), [](auto& l) { return l.points.size() >= 500; });
  REQUIRE(kept > 100);
  REQUIRE(kept < 200);
  CHECK(corpus.files == 200);
  CHECK(corpus.lines.size() == static_cast<size_t>(kept));
  CHECK(corpus.dropped == 200 - kept);
  for (const auto& line : corpus.lines) CHECK(line.points.size() >= 500);
  CHECK(corpus.split("valid").size() == static_cast<size_t>(std::lround(static_cast<double>(kept) * 581 / 11628)));
  CHECK(corpus.split("train").size() + corpus.split("valid").size() + corpus.split("test").size() ==
        corpus.lines.size());
  CHECK(corpus.split("all").size() == corpus.lines.size());
  CHECK(error_of([&] { corpus.split("dev"); }) == "unknown split 'dev': it is train, valid, test or all");
  CHECK_THAT(corpus.report(), ContainsSubstring("200 files, " + std::to_string(kept) + " kept, mean length"));
}

TEST_CASE("a folder of lineStrokes files is read as the corpus that wrote it") {
  TemporaryFolder folder;
  for (const auto& line : make_synthetic_ink(30, 1)) folder.write("any/" + line.name + ".xml", format_ink_xml(line));
  auto options = synthetic(30);
  const auto written = load_ink_corpus(options);
  options.corpus = "iam";
  options.data_dir = folder.path;
  options.cache = folder / "cache";
  const auto read = load_ink_corpus(options);
  CHECK(read.parts == written.parts);
  REQUIRE(read.lines.size() == written.lines.size());
  for (size_t i = 0; i < read.lines.size(); ++i) CHECK(read.lines[i].points == written.lines[i].points);
  CHECK_THAT(read.cache_note, ContainsSubstring("written to "));
  CHECK_THAT(load_ink_corpus(options).cache_note, ContainsSubstring("read from "));

  folder.write("any/zz.xml", "<x/>");
  CHECK_THAT(error_of([&] { load_ink_corpus(options); }), ContainsSubstring("zz.xml: the root is x"));
  options.on_bad_file = OnBadFile::Skip;
  const auto rest = load_ink_corpus(options);
  CHECK(rest.files == 31);
  CHECK(rest.file_errors.size() == 1);
  CHECK(rest.lines.size() == written.lines.size());
}

TEST_CASE("a stray point in a line too short to tell by itself is found by the extents of the longer lines") {
  TemporaryFolder folder;
  float widest = 0;
  for (const auto& line : make_synthetic_ink(30, 1)) {
    folder.write("any/" + line.name + ".xml", format_ink_xml(line));
    const auto [left, right] = std::minmax_element(line.points.begin(), line.points.end(),
                                                   [](const auto& a, const auto& b) { return a.x < b.x; });
    widest = std::max(widest, right->x - left->x);
  }
  InkLine mark{"s99-000-01", {{0, 0, false}, {40, 10, false}, {20000, 0, true}}};
  folder.write("any/s99-000-01.xml", format_ink_xml(mark));
  REQUIRE(widest < 10000);
  auto options = synthetic(30);
  options.corpus = "iam";
  options.data_dir = folder.path;
  options.min_points = 2;
  CHECK_THAT(error_of([&] { load_ink_corpus(options); }),
             ContainsSubstring("line s99-000-01: its 3 points extend over 20000 units"));
  options.on_bad_file = OnBadFile::Skip;
  const auto without = load_ink_corpus(options);
  CHECK(without.files == 31);
  CHECK(without.lines.size() == 30);
  REQUIRE(without.file_errors.size() == 1);
  CHECK_THAT(without.file_errors[0], ContainsSubstring("s99-000-01"));

  mark.points[2].x = 1.4F * widest;  // a long stroke of few points
  folder.write("any/s99-000-01.xml", format_ink_xml(mark));
  options.on_bad_file = OnBadFile::Stop;
  CHECK(load_ink_corpus(options).lines.size() == 31);
}

TEST_CASE("what cannot be loaded is named") {
  auto options = synthetic(30);
  options.min_points = 100'000;
  CHECK_THAT(error_of([&] { load_ink_corpus(options); }),
             ContainsSubstring("no line of handwriting has 100000 points"));
  options = synthetic(30);
  options.corpus = "mnist";
  CHECK(error_of([&] { load_ink_corpus(options); }) == "corpus 'mnist' is neither synthetic nor iam");
  options = synthetic(30);
  options.split = InkSplit::Graves;
  CHECK_THAT(error_of([&] { load_ink_corpus(options); }), ContainsSubstring("synthetic ink has none"));
  TemporaryFolder folder;
  const hmrnn::test::ScopedEnvironment data("HMRNN_DATA_DIR", folder.path.c_str());
  if (default_data_dir("iam_ondb").empty()) {
    options.corpus = "iam";
    CHECK_THAT(error_of([&] { load_ink_corpus(options); }), ContainsSubstring("--data-dir"));
  }
  CHECK_THROWS_AS(parse_ink_split("dev"), Error);
  CHECK_THROWS_AS(parse_ink_coordinates("polar"), Error);
}

TEST_CASE("the normalisation is the mean and the standard deviation of offsets or coordinates") {
  InkCorpus corpus;
  corpus.lines.resize(3);
  corpus.lines[0].points = {{0, 10, false}, {2, 10, false}, {6, 40, true}};
  corpus.lines[1].points = {{100, 100, false}, {106, 70, true}};
  corpus.lines[2].points = {{7000, 7000, true}};
  // offsets x: 2, 4, 6; y: 0, 30, -30
  auto n = measure_ink(corpus, {0, 1, 2}, InkCoordinates::Offsets);
  CHECK(n.mean[0] == Approx(4));
  CHECK(n.deviation[0] == Approx(std::sqrt(8.0 / 3)));
  CHECK(n.mean[1] == Approx(0).margin(1e-12));
  CHECK(n.deviation[1] == Approx(std::sqrt(600.0)));
  n = measure_ink(corpus, {0}, InkCoordinates::Absolute);
  CHECK(n.mean[0] == Approx(8.0 / 3));
  CHECK(n.mean[1] == Approx(20));
  CHECK(n.deviation[1] == Approx(std::sqrt((100 + 100 + 400) / 3.0)));
  // only the requested lines count; a deviation of 0 becomes 1
  n = measure_ink(corpus, {1}, InkCoordinates::Offsets);
  CHECK(n.mean[0] == 6);
  CHECK(n.deviation[0] == 1);
  CHECK_THROWS_AS(measure_ink(corpus, {2}, InkCoordinates::Offsets), Error);
}

TEST_CASE("IAM-OnDB itself: the paper's counts, Graves' lists, and a second start from the cache") {
  const auto dir = default_data_dir("iam_ondb");
  if (dir.empty()) {
    std::cout << "skipped: no iam_ondb in $HMRNN_DATA_DIR or data/" << std::endl;
    return;
  }
  TemporaryFolder folder;
  InkCorpusOptions options;
  options.corpus = "iam";
  options.data_dir = dir;
  options.cache = folder / "cache";
  const auto first = load_ink_corpus(options);
  CHECK(first.files == 12195);
  CHECK(first.file_errors.empty());
  CHECK(first.lines.size() == 11628);
  CHECK(first.mean_length() == Approx(648.4).margin(0.05));
  CHECK(first.split("train").size() == 10465);
  CHECK(first.split("valid").size() == 581);
  CHECK(first.split("test").size() == 582);
  CHECK(first.divided_forms == 0);
  CHECK_THAT(first.report(), ContainsSubstring("12195 files, 11628 kept, mean length 648.4 points"));

  // CPU time, since the machine may be busy.
  const auto begin = std::clock();
  const auto second = load_ink_corpus(options);
  const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  INFO("second start " << seconds << " s");
  CHECK(seconds < 2);
  CHECK_THAT(second.cache_note, ContainsSubstring("read from"));
  CHECK(second.parts == first.parts);
  REQUIRE(second.lines.size() == first.lines.size());
  for (size_t i = 0; i < first.lines.size(); i += 61) CHECK(second.lines[i].points == first.lines[i].points);

  options.split = InkSplit::Graves;
  options.min_points = 2;
  const auto graves = load_ink_corpus(options);
  CHECK(graves.split("train").size() == 5364);
  CHECK(graves.split("valid").size() == 1438);
  CHECK(graves.split("valid2").size() == 1518);
  CHECK(graves.split("test").size() == 3859);
  CHECK(graves.unlisted == 16);
  CHECK(error_of([&] { graves.split("dev"); }) == "unknown split 'dev': it is train, valid, valid2, test or all");
}
