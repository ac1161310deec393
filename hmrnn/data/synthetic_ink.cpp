#include "hmrnn/data/synthetic_ink.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string>

#include "hmrnn/data/split_mix.h"

namespace hmrnn {
namespace {

struct Place {
  double x, y;  // in x-heights; y up, base line at 0
};

/// A cubic Bézier curve. If `lifted`, it starts a new stroke; else the pen is at its start already.
struct Curve {
  std::array<Place, 4> at;
  bool lifted = false;
};

/// A letter from (0, 0) to (width, 0); `later` is drawn after the word.
struct Letter {
  double width;
  std::vector<Curve> now, later;
};

Curve curve(Place a, Place b, Place c, Place d, bool lifted = false) { return {{a, b, c, d}, lifted}; }

/// Up to x-height and down again.
Curve arch(double from, double to) { return curve({from, 0}, {from + 0.05, 1.35}, {to, 1.3}, {to, 0}); }

/// A loop, counter-clockwise: e (height 1) or l (height 2); below the base line if the height is negative.
Curve loop(double from, double width, double height) {
  const double y = height * 4 / 3;
  return curve({from, 0}, {from + 2.1 * width, y}, {from - 1.1 * width, y}, {from + width, 0});
}

/// A closed curve of x-height that starts and ends at (x, y), leftwards.
Curve round(double x, double y) { return curve({x, y}, {x - 1.35, y + 0.75}, {x - 0.85, y - 1.45}, {x, y}); }

Curve straight(Place a, Place b, bool lifted = false) {
  return curve(a, {a.x + (b.x - a.x) / 3, a.y + (b.y - a.y) / 3},
               {a.x + (b.x - a.x) * 2 / 3, a.y + (b.y - a.y) * 2 / 3}, b, lifted);
}

const std::vector<Letter>& letters() {
  static const std::vector<Letter> all = {
      {0.75, {loop(0, 0.75, 1)}, {}},                             // e
      {0.7, {loop(0, 0.7, 2.1)}, {}},                             // l
      {1.3, {arch(0, 0.6), arch(0.6, 1.3)}, {}},                  // n
      {1.9, {arch(0, 0.6), arch(0.6, 1.2), arch(1.2, 1.9)}, {}},  // m
      {1.35,
       {curve({0, 0}, {0.1, 0.4}, {0.15, 0.7}, {0.2, 1}), curve({0.2, 1}, {0.15, -0.35}, {0.8, -0.3}, {0.95, 1}),
        curve({0.95, 1}, {0.95, 0.3}, {1.0, -0.05}, {1.35, 0})},
       {}},  // u
      {1.4,
       {curve({0, 0}, {0.3, 0.5}, {0.6, 1.0}, {0.95, 0.85}), round(0.95, 0.85),
        curve({0.95, 0.85}, {0.9, 0.2}, {1.05, -0.05}, {1.4, 0})},
       {}},  // a
      {0.7,
       {curve({0, 0}, {0.15, 0.4}, {0.2, 0.7}, {0.25, 1}), curve({0.25, 1}, {0.2, 0.2}, {0.3, -0.1}, {0.7, 0})},
       {straight({0.33, 1.55}, {0.38, 1.45}, true)}},  // i; the dot follows later
      {0.9,
       {straight({0.4, 1.9}, {0.35, 0.7}, true), curve({0.35, 0.7}, {0.33, 0.1}, {0.4, -0.1}, {0.9, 0})},
       {straight({0.0, 1.3}, {0.85, 1.35}, true)}},  // t; the bar follows later
      {1.45,
       {curve({0.95, 0.9}, {0.9, 0.95}, {0.95, 0.9}, {0.95, 0.85}, true), round(0.95, 0.85),
        curve({0.95, 0.85}, {1.0, -1.9}, {-0.2, -1.7}, {0.45, -0.6}),
        curve({0.45, -0.6}, {0.7, -0.25}, {1.1, 0}, {1.45, 0})},
       {}},  // g; begins with the pen lifted
  };
  return all;
}

/// Words as indices of letters; the same for all seeds, drawn with frequencies 1 / (rank + 3), rank from 0.
struct Vocabulary {
  std::vector<std::vector<size_t>> words;
  std::vector<uint64_t> cumulative;

  Vocabulary() {
    SplitMix64 random(1609);
    for (uint64_t rank = 0; rank < 60; ++rank) {
      std::vector<size_t> word(1 + random.below(5));
      for (auto& letter : word) letter = random.below(letters().size());
      words.push_back(std::move(word));
      cumulative.push_back((cumulative.empty() ? 0 : cumulative.back()) + 1'000'000 / (rank + 3));
    }
  }
  const std::vector<size_t>& draw(SplitMix64& random) const {
    const auto at = random.below(cumulative.back());
    return words[static_cast<size_t>(std::upper_bound(cumulative.begin(), cumulative.end(), at) - cumulative.begin())];
  }
};

/// The handwriting of one form.
struct Hand {
  double height;   // x-height, units
  double slant;    // x per y
  double width;    // scale of a letter's width
  double density;  // points per x-height of length
  double tremble;  // largest displacement, units
  double gap;      // between words, x-heights

  explicit Hand(SplitMix64& random)
      : height(random.between(90, 130)),
        slant(random.between(-0.1, 0.4)),
        width(random.between(0.8, 1.15)),
        density(random.between(4.4, 6)),
        tremble(random.between(0.5, 2.5)),
        gap(random.between(0.9, 1.5)) {}
};

class Writer {
 public:
  Writer(const Hand& hand, SplitMix64& random, InkLine& line)
      : hand_(hand),
        random_(random),
        line_(line),
        left_(random.between(800, 1100)),
        base_(-random.between(1000, 8000)),
        rise_(random.between(-0.02, 0.02)) {}

  void word(const std::vector<size_t>& word) {
    std::vector<std::pair<double, const Letter*>> later;
    bool down = false;  // whether the pen is where the next curve begins
    for (size_t i = 0; i < word.size(); ++i) {
      const auto& letter = letters()[word[i]];
      for (const auto& part : letter.now) {
        if (!down || part.lifted) {
          lift();
          put(part.at[0], at_);
        }
        draw(part, at_);
        down = true;
      }
      if (!letter.later.empty()) later.emplace_back(at_, &letter);
      constexpr double kJoint = 0.25;
      if (i + 1 < word.size() && !letters()[word[i + 1]].now[0].lifted) {
        draw(curve({letter.width, 0}, {letter.width + 0.1, -0.05}, {letter.width + 0.15, -0.05},
                   {letter.width + kJoint / hand_.width, 0}),
             at_);
      }
      at_ += letter.width * hand_.width + kJoint;
    }
    for (const auto& [x, letter] : later) {
      for (const auto& part : letter->later) {
        lift();
        put(part.at[0], x);
        draw(part, x);
      }
    }
    lift();
    line_.word_end.back() = 1;
    at_ += hand_.gap;
  }

 private:
  void lift() {
    if (!line_.points.empty()) line_.points.back().pen_up = true;
  }

  /// Adds point `p` of a letter that begins `x` x-heights from the left.
  void put(Place p, double x) {
    const double along = x + p.x * hand_.width + hand_.slant * p.y;
    const double shake_x = random_.between(-hand_.tremble, hand_.tremble);
    const double shake_y = random_.between(-hand_.tremble, hand_.tremble);
    line_.points.push_back(
        {static_cast<float>(std::floor(left_ + along * hand_.height + shake_x + 0.5)),
         static_cast<float>(std::floor(base_ + (p.y + rise_ * along) * hand_.height + shake_y + 0.5)), false});
    line_.word_end.push_back(0);
  }

  /// Adds the points of the curve except its first.
  void draw(const Curve& c, double x) {
    const auto at = [&](double t) {
      const double s = 1 - t;
      const double w[] = {s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t};
      Place p{0, 0};
      for (size_t i = 0; i < 4; ++i) {
        p.x += w[i] * c.at[i].x;
        p.y += w[i] * c.at[i].y;
      }
      return p;
    };
    double length = 0;
    for (int i = 0; i < 12; ++i) {
      const auto a = at(i / 12.0), b = at((i + 1) / 12.0);
      length += std::sqrt((b.x - a.x) * (b.x - a.x) + (b.y - a.y) * (b.y - a.y));
    }
    const int points = std::max(2, static_cast<int>(length * hand_.density + 0.5));
    for (int i = 1; i <= points; ++i) put(at(static_cast<double>(i) / points), x);
  }

  const Hand& hand_;
  SplitMix64& random_;
  InkLine& line_;
  double left_, base_, rise_;
  double at_ = 0;  // position of the next letter, x-heights from the left
};

}  // namespace

std::vector<InkLine> make_synthetic_ink(int64_t count, uint64_t seed) {
  static const Vocabulary vocabulary;
  std::vector<InkLine> out;
  SplitMix64 random(seed);
  for (int64_t form = 0; static_cast<int64_t>(out.size()) < count; ++form) {
    const Hand hand(random);
    const auto lines = 5 + random.below(4);
    for (uint64_t i = 0; i < lines && static_cast<int64_t>(out.size()) < count; ++i) {
      InkLine line;
      char name[64];
      std::snprintf(name, sizeof name, "s%02lld-%03lld-%02d", static_cast<long long>(form / 1000),
                    static_cast<long long>(form % 1000), static_cast<int>(i + 1));
      line.name = name;
      Writer writer(hand, random, line);
      for (auto words = 6 + random.below(4); words > 0; --words) writer.word(vocabulary.draw(random));
      out.push_back(std::move(line));
    }
  }
  return out;
}

}  // namespace hmrnn
