#include <algorithm>
#include <set>

#include "catch.h"
#include "hmrnn/data/text_streams.h"
#include "hmrnn/error.h"

using hmrnn::Error;
using hmrnn::TextStreams;
using hmrnn::TextWindow;

namespace {

/// Character i is i mod 251, which identifies its position in a text of up to 251 characters. (251 is prime, so that no
/// length of a stream or window is a multiple of it.)
torch::Tensor counting_text(int64_t size) { return torch::arange(size).remainder(251).to(torch::kUInt8); }

/// The same as a part of a tensor that contains 255 elsewhere, so that reading out of range is detected.
torch::Tensor guarded_text(int64_t size) {
  auto all = torch::full({size + 64}, 255, torch::kUInt8);
  all.slice(0, 32, 32 + size).copy_(counting_text(size));
  return all.slice(0, 32, 32 + size);
}

bool equal_or_absent(const torch::Tensor& a, const torch::Tensor& b) {
  return a.defined() == b.defined() && (!a.defined() || torch::equal(a, b));
}

/// Column b of all windows, concatenated, without the steps of weight 0.
std::vector<int64_t> stream(const TextStreams& streams, int64_t b, bool target) {
  std::vector<int64_t> joined;
  for (int64_t i = 0; i < streams.windows(); ++i) {
    const auto window = streams.window(i);
    const auto& values = target ? window.target : window.input;
    for (int64_t t = 0; t < values.size(0); ++t) {
      if (!window.weight.defined() || window.weight[t][b].item<float>() != 0) {
        joined.push_back(values[t][b].item<int64_t>());
      }
    }
  }
  return joined;
}

}  // namespace

TEST_CASE("exact: every character but the first is scored exactly once") {
  for (const int64_t size : {2, 3, 5, 17, 64, 65, 100, 200, 251}) {
    for (const int64_t width : {1, 2, 3, 7, 16, 300}) {
      for (const int64_t steps : {1, 2, 5, 16, 500}) {
        INFO("N " << size << " B " << width << " T " << steps);
        const TextStreams streams(guarded_text(size), width, steps, true);
        REQUIRE(streams.streams() == std::min(width, size - 1));
        int64_t counted = 0, shortest = size, longest = 0, next = 0;
        for (int64_t i = 0; i < streams.windows(); ++i) {
          const auto window = streams.window(i);
          REQUIRE(window.input.sizes() == window.target.sizes());
          REQUIRE(window.input.size(0) >= 1);
          REQUIRE(window.input.size(0) <= steps);
          REQUIRE(window.input.max().item<int64_t>() < 251);
          REQUIRE(window.target.max().item<int64_t>() < 251);
          REQUIRE(window.first == (i == 0));
          if (i + 1 < streams.windows()) {
            REQUIRE(window.input.size(0) == steps);
            REQUIRE_FALSE(window.weight.defined());
          }
          const int64_t cells = window.input.numel();
          REQUIRE(window.count ==
                  (window.weight.defined() ? static_cast<int64_t>(window.weight.sum().item<float>()) : cells));
          if (window.weight.defined()) {
            REQUIRE(window.weight.scalar_type() == torch::kFloat32);
            REQUIRE(window.count < cells);
          }
          counted += window.count;
        }
        REQUIRE(counted == size - 1);
        // The streams together are the text: each input once, each target the character after it.
        for (int64_t b = 0; b < streams.streams(); ++b) {
          const auto inputs = stream(streams, b, false), targets = stream(streams, b, true);
          const auto length = static_cast<int64_t>(inputs.size());
          shortest = std::min(shortest, length);
          longest = std::max(longest, length);
          for (size_t k = 0; k < inputs.size(); ++k, ++next) {
            REQUIRE(inputs[k] == next);
            REQUIRE(targets[k] == next + 1);
          }
        }
        REQUIRE(next == size - 1);
        REQUIRE(longest - shortest <= 1);
      }
    }
  }
}

TEST_CASE("training: contiguous streams, and what fills no window of every stream is dropped") {
  for (const int64_t size : {2, 9, 50, 101, 200, 251}) {
    for (const int64_t width : {1, 2, 3, 7, 16}) {
      for (const int64_t steps : {1, 2, 5, 16}) {
        if (width * steps + 1 > size) continue;
        INFO("N " << size << " B " << width << " T " << steps);
        const TextStreams streams(guarded_text(size), width, steps);
        REQUIRE(streams.streams() == width);
        // One more window would not fit.
        REQUIRE(streams.windows() >= 1);
        REQUIRE(streams.windows() * width * steps + 1 <= size);
        REQUIRE((streams.windows() + 1) * width * steps + 1 > size);
        std::set<int64_t> seen;
        for (int64_t b = 0; b < width; ++b) {
          const auto inputs = stream(streams, b, false), targets = stream(streams, b, true);
          REQUIRE(static_cast<int64_t>(inputs.size()) == streams.windows() * steps);
          for (size_t k = 0; k < inputs.size(); ++k) {
            REQUIRE(inputs[k] < 251);
            REQUIRE(targets[k] == inputs[k] + 1);
            if (k > 0) REQUIRE(inputs[k] == targets[k - 1]);
            REQUIRE(seen.insert(inputs[k]).second);  // no character twice in an epoch
          }
        }
        for (int64_t i = 0; i < streams.windows(); ++i) {
          const auto window = streams.window(i);
          REQUIRE(window.input.sizes() == torch::IntArrayRef({steps, width}));
          REQUIRE(window.input.scalar_type() == torch::kInt64);
          REQUIRE(window.target.scalar_type() == torch::kInt64);
          REQUIRE_FALSE(window.weight.defined());
          REQUIRE(window.count == steps * width);
          REQUIRE(window.first == (i == 0));
        }
      }
    }
  }
}

TEST_CASE("a window at random is the window of the pass") {
  const bool exact = GENERATE(false, true);
  const TextStreams streams(counting_text(1000), 7, 9, exact);
  std::vector<TextWindow> pass;
  for (int64_t i = 0; i < streams.windows(); ++i) pass.push_back(streams.window(i));
  REQUIRE(pass.size() > 10);
  for (int64_t i = streams.windows() - 1; i >= 0; --i) {
    const auto again = streams.window(i);
    const auto& before = pass[static_cast<size_t>(i)];
    CHECK(equal_or_absent(again.input, before.input));
    CHECK(equal_or_absent(again.target, before.target));
    CHECK(equal_or_absent(again.weight, before.weight));
    CHECK(again.count == before.count);
    CHECK(again.first == before.first);
  }
  CHECK_THROWS_AS(streams.window(-1), c10::Error);
  CHECK_THROWS_AS(streams.window(streams.windows()), c10::Error);
}

TEST_CASE("a strided text is read by its elements") {
  const auto strided = counting_text(400).slice(0, 0, 400, 2);
  const TextStreams streams(strided, 1, 50, true);
  CHECK(torch::equal(streams.window(0).input.flatten(), strided.slice(0, 0, 50).to(torch::kInt64)));
}

TEST_CASE("a text too short and options out of range are named") {
  CHECK_THROWS_WITH(TextStreams(counting_text(40), 4, 10, false, "notes.txt"),
                    "notes.txt has 40 characters, which is less than one window of 10 steps in each of 4 streams");
  CHECK(TextStreams(counting_text(41), 4, 10).windows() == 1);
  CHECK_THROWS_WITH(TextStreams(counting_text(1), 4, 10, true, "notes.txt"), ContainsSubstring("notes.txt has 1 char"));
  CHECK_THROWS_AS(TextStreams(counting_text(0), 1, 1), Error);
  CHECK_THROWS_AS(TextStreams(counting_text(0), 1, 1, true), Error);
  CHECK_THROWS_AS(TextStreams(counting_text(40), 0, 10), Error);
  CHECK_THROWS_AS(TextStreams(counting_text(40), 1, 0), Error);
  CHECK_THROWS_AS(TextStreams(counting_text(40), int64_t{1} << 40, int64_t{1} << 40), Error);
  CHECK_THROWS_AS(TextStreams(counting_text(40).to(torch::kInt64), 1, 1), c10::Error);
}

TEST_CASE("a rolled text begins elsewhere, and its end is followed by its beginning") {
  const int64_t size = 103;
  const TextStreams streams(guarded_text(size), 3, 8);
  const int64_t each = streams.windows() * 8;
  for (const int64_t offset : {int64_t{0}, int64_t{1}, int64_t{60}, size - 1}) {
    INFO("offset " << offset);
    for (int64_t i = 0; i < streams.windows(); ++i) {
      const auto window = streams.window(i, offset);
      CHECK(window.first == (i == 0));
      for (int64_t b = 0; b < 3; ++b) {
        for (int64_t t = 0; t < 8; ++t) {
          const int64_t at = offset + b * each + i * 8 + t;
          REQUIRE(window.input[t][b].item<int64_t>() == at % size % 251);
          REQUIRE(window.target[t][b].item<int64_t>() == (at + 1) % size % 251);
        }
      }
    }
  }
  CHECK_THROWS_AS(streams.window(0, size), c10::Error);
  CHECK_THROWS_AS(streams.window(0, -1), c10::Error);
  CHECK_THROWS_AS(TextStreams(guarded_text(size), 3, 8, /*exact=*/true).window(0, 1), c10::Error);
}
