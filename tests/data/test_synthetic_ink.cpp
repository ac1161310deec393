#include <algorithm>
#include <cmath>
#include <set>

#include "catch.h"
#include "hmrnn/data/synthetic_ink.h"
#include "support/ink_point.h"

using namespace hmrnn;

TEST_CASE("synthetic ink: a seed gives the same lines, whatever their number; another seed others") {
  const auto many = make_synthetic_ink(40, 1), few = make_synthetic_ink(13, 1), other = make_synthetic_ink(13, 2);
  REQUIRE(many.size() == 40);
  REQUIRE(few.size() == 13);
  for (size_t i = 0; i < few.size(); ++i) {
    CHECK(few[i].name == many[i].name);
    CHECK(few[i].points == many[i].points);
    CHECK(few[i].word_end == many[i].word_end);
    CHECK(few[i].points != other[i].points);
  }
  CHECK(make_synthetic_ink(0, 1).empty());
}

TEST_CASE("synthetic ink: the first points are these, on every machine") {
  const auto line = make_synthetic_ink(1, 1)[0];
  CHECK(line.name == "s00-000-01");
  // Values of the current generator: a change of it changes every published figure.
  double sum = 0;
  for (const auto& p : line.points) sum += p.x + 3 * p.y;
  INFO(line.points.size() << " points, first " << line.points[0].x << ' ' << line.points[0].y << ", sum " << sum);
  CHECK(line.points.size() == 609);
  CHECK(line.points[0] == InkPoint{957, -2998, false});
  CHECK(sum == -3088918);
}

TEST_CASE("synthetic ink: lines, strokes and words are what is promised") {
  std::set<std::string> names, forms;
  for (const auto& line : make_synthetic_ink(200, 5)) {
    INFO(line.name);
    CHECK(names.insert(line.name).second);
    forms.insert(form_of(line.name));
    CHECK(line.points.size() > 200);
    CHECK(line.points.size() < 1500);
    CHECK(line.points.back().pen_up);
    REQUIRE(line.word_end.size() == line.points.size());
    const auto words = std::count(line.word_end.begin(), line.word_end.end(), 1);
    CHECK(words >= 6);
    CHECK(words <= 9);
    CHECK(line.word_end.back() == 1);
    size_t pen_ups = 0, far = 0;
    for (size_t i = 0; i < line.points.size(); ++i) {
      const auto& p = line.points[i];
      CHECK((p.x == std::floor(p.x) && p.y == std::floor(p.y)));
      if (line.word_end[i] != 0) CHECK(p.pen_up);  // a word ends at the end of a stroke
      pen_ups += p.pen_up ? 1 : 0;
      // Neighbouring points of a stroke are close.
      if (i > 0 && !line.points[i - 1].pen_up)
        far += std::hypot(p.x - line.points[i - 1].x, p.y - line.points[i - 1].y) > 90;
    }
    CHECK(far == 0);
    CHECK(pen_ups >= static_cast<size_t>(words));
    // Each word is to the right of the previous ones.
    float right = -1e9F, before = -1e9F;
    bool beginning = true;
    for (size_t i = 0; i < line.points.size(); ++i) {
      if (beginning) CHECK(line.points[i].x > before - 120);
      beginning = line.word_end[i] != 0;
      right = std::max(right, line.points[i].x);
      if (beginning) before = right;
    }
  }
  CHECK(forms.size() >= 200 / 8);
  CHECK(forms.size() <= 200 / 5);
}

TEST_CASE("synthetic ink: writing goes to the right and is as high as wide letters are") {
  double wide = 0, high = 0;
  const auto lines = make_synthetic_ink(30, 9);
  for (const auto& line : lines) {
    const auto [left, right] =
        std::minmax_element(line.points.begin(), line.points.end(), [](auto& a, auto& b) { return a.x < b.x; });
    const auto [low, top] =
        std::minmax_element(line.points.begin(), line.points.end(), [](auto& a, auto& b) { return a.y < b.y; });
    wide += right->x - left->x;
    high += top->y - low->y;
  }
  CHECK(wide / 30 > 2000);
  CHECK(wide / 30 < 9000);
  // Letters rise up to 2.1 x-heights above the base line and fall up to 1.4 below it; an x-height is 90 to 130.
  CHECK(high / 30 > 200);
  CHECK(high / 30 < 700);
}
