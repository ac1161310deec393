#include <functional>

#include "catch.h"
#include "hmrnn/nn/window_checks.h"

using namespace hmrnn;

namespace {

const std::vector<int64_t> kWindowSizes = {4, 2};

/// A valid call: T = 5, B = 3, 2 features; two layers, one detector.
struct Call {
  WindowInput window = sequence_window("M", torch::zeros({5, 3, 2}), 2);
  HMLSTMState state = HMLSTMState::zeros(3, kWindowSizes, 1, {});
  HMLSTMCall call;
  int64_t boundaries = 1;

  void check() const { check_window("M", window, state, call, kWindowSizes, boundaries, torch::zeros({1})); }
};

}  // namespace

TEST_CASE("steps and rows of a window: of sequences and of tables") {
  const auto sequence = sequence_window("M", torch::zeros({5, 3, 2}), 2);
  CHECK(window_steps(sequence) == 5);
  CHECK(window_batch(sequence) == 3);
  CHECK_FALSE(sequence.index.defined());
  const auto table = table_window("M", torch::zeros({7, 2}), torch::zeros({4, 6}, torch::kInt64), 2);
  CHECK(window_steps(table) == 4);
  CHECK(window_batch(table) == 6);
  CHECK(table.input.size(0) == 7);
}

TEST_CASE("inputs of another shape, dtype or device are named") {
  const auto index = torch::zeros({4, 6}, torch::kInt64);
  CHECK_THROWS_WITH(sequence_window("M", torch::zeros({5, 2}), 2),
                    ContainsSubstring("M: input must have shape [T, B, 2], got [5, 2]"));
  CHECK_THROWS_WITH(sequence_window("M", torch::zeros({5, 3, 3}), 2), ContainsSubstring("[T, B, 2]"));
  CHECK_THROWS_WITH(table_window("M", torch::zeros({7, 3}), index, 2),
                    ContainsSubstring("M: table must have shape [V, 2], got [7, 3]"));
  CHECK_THROWS_WITH(table_window("M", torch::zeros({7, 2}), index.to(torch::kInt32), 2),
                    ContainsSubstring("M: index must be int64 [T, B]"));
  CHECK_THROWS_WITH(table_window("M", torch::zeros({7, 2}), index[0], 2), ContainsSubstring("int64 [T, B]"));
  CHECK_THROWS_WITH(table_window("M", torch::zeros({7, 2}), index.to(torch::kMeta), 2),
                    ContainsSubstring("M: index must be on cpu as the table is"));
}

TEST_CASE("a sound call passes, with everything that it may set") {
  Call sound;
  CHECK_NOTHROW(sound.check());
  sound.call.lengths = torch::zeros({3}, torch::kInt64);
  sound.call.boundaries = torch::zeros({5, 3, 1});
  sound.call.noise = torch::zeros({5, 3, 1});
  CHECK_NOTHROW(sound.check());
}

TEST_CASE("whatever does not fit the window or the layers is named") {
  struct Case {
    const char* words;
    std::function<void(Call&)> spoil;
  };
  const std::vector<Case> cases = {
      {"M: input must be on cpu", [](Call& c) { c.window.input = c.window.input.to(torch::kMeta); }},
      {"M: input must be Float as the parameters are, got Double",
       [](Call& c) { c.window.input = c.window.input.to(torch::kFloat64); }},
      {"at least one step and one row, got T = 0, B = 3",
       [](Call& c) {
         c.window = sequence_window("M", torch::zeros({0, 3, 2}), 2);
       }},
      {"state must have 2 layers, got 1 of h and 2 of c", [](Call& c) { c.state.h.pop_back(); }},
      {"state.h must have shape [3, 4], got [2, 4]",
       [](Call& c) {
         c.state.h[0] = torch::zeros({2, 4});
       }},
      {"state.c must have shape [3, 2], got nothing", [](Call& c) { c.state.c[1] = torch::Tensor(); }},
      {"state.c must be Float, got Double", [](Call& c) { c.state.c[1] = c.state.c[1].to(torch::kFloat64); }},
      {"state.z must have shape [3, 1], got [3, 2]",
       [](Call& c) {
         c.state.z = torch::zeros({3, 2});
       }},
      {"lengths must have shape [3], got [4]", [](Call& c) { c.call.lengths = torch::zeros({4}, torch::kInt64); }},
      {"lengths must be int64", [](Call& c) { c.call.lengths = torch::zeros({3}); }},
      {"boundaries must have shape [5, 3, 1]",
       [](Call& c) {
         c.call.boundaries = torch::zeros({5, 3, 2});
       }},
      {"noise must have shape [5, 3, 1]",
       [](Call& c) {
         c.call.noise = torch::zeros({5, 1, 1});
       }},
  };
  for (const auto& each : cases) {
    INFO(each.words);
    Call call;
    each.spoil(call);
    CHECK_THROWS_WITH(call.check(), ContainsSubstring(each.words));
  }
}

TEST_CASE("layers without detectors look at no boundaries") {
  Call control;
  control.boundaries = 0;
  control.state.z = torch::zeros({3, 0});
  control.call.boundaries = torch::zeros({1});
  control.call.noise = torch::zeros({1});
  CHECK_NOTHROW(control.check());
}
