#include <pugixml.hpp>
#include <set>
#include <sstream>

#include "catch.h"
#include "hmrnn/analysis/ink_svg.h"
#include "hmrnn/error.h"
#include "support/ink_point.h"

using namespace hmrnn;

namespace {

struct Place {
  double x, y;
};

/// The points of a path "Mx yLx y…", in millimetres.
std::vector<Place> places(const pugi::xml_node& path) {
  std::string text = path.attribute("d").value();
  REQUIRE(!text.empty());
  CHECK(text[0] == 'M');
  CHECK(text.find('M', 1) == std::string::npos);
  for (auto& c : text) {
    if (c == 'M' || c == 'L') c = ' ';
  }
  std::istringstream in(text);
  std::vector<Place> out;
  for (Place p; in >> p.x >> p.y;) out.push_back(p);
  CHECK(in.eof());
  return out;
}

pugi::xml_document parse(const std::string& svg) {
  pugi::xml_document document;
  const auto result = document.load_buffer(svg.data(), svg.size());
  REQUIRE(result);
  return document;
}

std::vector<pugi::xml_node> paths(const pugi::xml_document& document) {
  std::vector<pugi::xml_node> out;
  for (const auto& path : document.child("svg").child("g").children("path")) out.push_back(path);
  return out;
}

const InkLine kLine = {
    "x-01", {{100, 50, false}, {200, 150, false}, {300, 50, true}, {400, 60, true}, {500, 0, false}, {600, 10, true}}};

}  // namespace

TEST_CASE("a drawing: a path for each stroke, in millimetres, the right way up, one scale for both axes") {
  InkSvgOptions options;
  options.mm_per_unit = 0.1;
  options.margin_mm = 3;
  const auto document = parse(ink_svg({{ink_strokes(kLine), ""}}, options));
  const auto svg = document.child("svg");
  // 500 units wide and 150 high, plus margins
  CHECK(std::string(svg.attribute("width").value()) == "56.00mm");
  CHECK(std::string(svg.attribute("height").value()) == "21.00mm");
  CHECK(std::string(svg.attribute("viewBox").value()) == "0 0 56.00 21.00");
  const auto all = paths(document);
  REQUIRE(all.size() == 3);
  const auto first = places(all[0]);
  REQUIRE(first.size() == 3);
  CHECK(first[0].x == Approx(3));
  CHECK(first[0].y == Approx(13));
  CHECK(first[1].x == Approx(13));
  CHECK(first[1].y == Approx(3));  // the highest point has the smallest y
  CHECK(first[2].y == Approx(13));
  const auto dot = places(all[1]);
  REQUIRE(dot.size() == 2);
  CHECK((dot[0].x == dot[1].x && dot[0].y == dot[1].y));
  CHECK(places(all[2]).size() == 2);
  CHECK(std::string(all[0].attribute("stroke").value()) == "black");
}

TEST_CASE("a drawing of several panels: one below the other, with captions that are text") {
  const auto document = parse(ink_svg({{ink_strokes(kLine), "a < b & c"}, {ink_strokes(kLine), ""}}));
  const auto all = paths(document);
  REQUIRE(all.size() == 6);
  double lowest = 0, highest = 1e9;
  for (size_t i = 0; i < 3; ++i) {
    for (const auto& p : places(all[i])) lowest = std::max(lowest, p.y);
    for (const auto& p : places(all[3 + i])) highest = std::min(highest, p.y);
  }
  CHECK(lowest < highest);
  CHECK(std::string(document.child("svg").child("g").child("text").child_value()) == "a < b & c");
}

TEST_CASE("a drawing is well-formed XML whatever bytes the caption has") {
  const std::string bad = "\xef\xbf\xbd";  // U+FFFD
  const auto svg = ink_svg({{ink_strokes(kLine), "s\x1b[1m\xff\xc2\x85<\x7f>"}});
  // The parser of these tests accepts such bytes, hence the comparison.
  CHECK(std::string(parse(svg).child("svg").child("g").child("text").child_value()) ==
        "s" + bad + "[1m" + bad + bad + "<" + bad + ">");
}

TEST_CASE("segments: a colour each, no gap where the pen stays down, the strokes kept") {
  const auto pieces = ink_segments(kLine, {0, 1, 0, 0, 0, 0});
  REQUIRE(pieces.size() == 4);
  CHECK(pieces[0].points == std::vector<InkPoint>(kLine.points.begin(), kLine.points.begin() + 2));
  CHECK(pieces[1].points == std::vector<InkPoint>(kLine.points.begin() + 1, kLine.points.begin() + 3));  // joined
  CHECK(pieces[2].points == std::vector<InkPoint>{kLine.points[3]});
  CHECK(pieces[3].points.size() == 2);
  CHECK(pieces[0].colour != pieces[1].colour);
  CHECK(pieces[1].colour == pieces[2].colour);  // one segment of three strokes
  CHECK(pieces[1].colour == pieces[3].colour);

  const auto strokes = ink_segments(kLine, {});
  REQUIRE(strokes.size() == 3);
  CHECK(strokes[0].colour != strokes[1].colour);
  CHECK(strokes[1].colour != strokes[2].colour);
  CHECK(strokes[0].points.size() == 3);
  CHECK_THROWS_AS(ink_segments(kLine, {1, 0}), Error);
  CHECK(ink_segments(kLine, {1, 1, 1, 1, 1, 1}).size() == 6);
}
