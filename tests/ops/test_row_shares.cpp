// Threads that share a window by rows of the batch (ops/cpu/row_shares.h): the same results as in one piece, and the
// same bits for any number of threads.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/for_tasks.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/row_shares.h"
#include "hmrnn/ops/hm_lstm.h"
#include "support/random_window.h"
#include "support/tensors.h"
#include "support/thread_count.h"
#include "support/window_comparison.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// Sets the number of shares and of threads for its lifetime.
class Shared {
 public:
  Shared(int64_t shares, int threads) : threads_(threads) {
    setenv("HMRNN_ROW_SHARES", std::to_string(shares).c_str(), 1);
  }
  ~Shared() { unsetenv("HMRNN_ROW_SHARES"); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;

 private:
  ThreadCount threads_;
};

/// A given segmentation is constant by definition, and z0 then has no gradient.
void drop_constant_z0(const RandomWindowOptions& o, const RandomWindow& p, Outcome& outcome) {
  if (o.rate < 0 || o.boundary_gradient) return;
  const auto z0 = 1 + 2 * o.sizes.size();
  REQUIRE(p.names()[z0] == "z0");
  outcome.gradients[z0] = torch::zeros_like(p.window.z0);
}

void check_same_bits(const RandomWindow& p, const Outcome& a, const Outcome& b) {
  const auto x = outputs(a.result), y = outputs(b.result);
  for (size_t i = 0; i < x.size(); ++i) CHECK(torch::equal(x[i], y[i]));
  CHECK(torch::equal(a.result.state_index, b.result.state_index));
  for (size_t i = 0; i < a.gradients.size(); ++i) {
    INFO("gradient of " << p.names()[i]);
    REQUIRE(a.gradients[i].defined() == b.gradients[i].defined());
    if (a.gradients[i].defined()) CHECK(torch::equal(a.gradients[i], b.gradients[i]));
  }
}

}  // namespace

TEST_CASE("a window shared by rows equals the reference in float64: outputs, state and every gradient") {
  int cases = 0;
  for (auto kind : window_kinds()) {
    auto& o = kind.options;
    o.batch = 11;
    o.steps = 9;
    const auto p = random_window(o);
    auto dense = by_reference(p, kind.some_gradients);
    drop_constant_z0(o, p, dense);
    // 2 shares of 5 and 6 rows, 3 of 3 and 4, or one for each row; on more threads than shares, and on fewer
    const auto [shares, threads] = std::vector<std::pair<int64_t, int>>{{2, 3}, {3, 2}, {11, 3}, {3, 1}}[cases % 4];
    INFO(kind.name << ", " << shares << " shares, " << threads << " threads");
    const Shared sharing(shares, threads);
    auto fast = by_operator(p, kind.some_gradients);
    drop_constant_z0(o, p, fast);
    CHECK(difference(p, fast, dense) < 1e-10);
    ++cases;
  }
  CHECK(cases > 100);
}

TEST_CASE("a window shared by rows is the same bits on one to four threads") {
  struct Kind {
    torch::ScalarType dtype;
    std::optional<torch::ScalarType> products;
  };
  const auto kind = GENERATE(Kind{torch::kFloat64, std::nullopt}, Kind{torch::kFloat32, std::nullopt},
                             Kind{torch::kFloat32, torch::kBFloat16});
  if (kind.products && cpu::choose_backend<c10::BFloat16>() != cpu::ProductBackend::Rows) {
    std::cout << "skipped: threads cannot compute bfloat16 products independently with this backend" << std::endl;
    return;
  }
  const bool indexed = GENERATE(false, true);
  RandomWindowOptions o;
  o.sizes = {72, 40, 24};
  o.input_size = 33;
  o.steps = 20;
  o.batch = 30;
  o.indexed = indexed;
  o.lengths = indexed;
  o.rate = 0.3;
  o.recurrent_dropout = indexed ? 0.2 : 0;
  o.locked_dropout = indexed ? 0.2 : 0;
  o.dtype = kind.dtype;
  const auto p = random_window(o);
  const auto run = [&](int threads) {
    const Shared sharing(3, threads);
    check_repeats(p, kind.products);
    return by_operator(p, false, kind.products);
  };
  const auto one = run(1);
  for (const int threads : {2, 3, 4}) {
    INFO(threads << " threads");
    check_same_bits(p, one, run(threads));
  }
}

TEST_CASE("a window shared by columns, by a team of threads, has the outputs of one thread bit for bit") {
  const auto products = GENERATE(std::optional<torch::ScalarType>(), std::optional(torch::kBFloat16));
  RandomWindowOptions o;
  o.sizes = {160, 96, 64};  // products and rows that are worth several threads
  o.input_size = 64;
  o.steps = 12;
  o.batch = 40;
  o.rate = 0.4;
  o.boundary_gradient = true;
  o.dtype = torch::kFloat32;
  const auto p = random_window(o);
  const auto run = [&](int threads) {
    const Shared sharing(1, threads);
    check_repeats(p, products);
    return by_operator(p, false, products);
  };
  const auto one = run(1);
  for (const int threads : {2, 3, 4}) {
    INFO(threads << " threads");
    const auto many = run(threads);
    const auto x = outputs(one.result), y = outputs(many.result);
    for (size_t i = 0; i < x.size(); ++i) CHECK(torch::equal(x[i], y[i]));
    CHECK(difference(p, many, one) < 1e-5);  // gradients of biases and norms are summed by thread
  }
}

TEST_CASE("by the rule, the gradients of the weights are the same bits for one to four threads") {
  const auto products = GENERATE(std::optional<torch::ScalarType>(), std::optional(torch::kBFloat16));
  const int64_t units = GENERATE(128, 256);
  RandomWindowOptions o;
  o.sizes = {units, units, units};
  o.input_size = 48;
  o.steps = 6;
  o.batch = 64;
  o.rate = 0.4;
  o.indexed = units == 128;
  o.dtype = torch::kFloat32;
  const auto p = random_window(o);
  const auto run = [&](int threads) {
    const ThreadCount count(threads);
    return by_operator(p, false, products);
  };
  const auto one = run(1);
  const auto names = p.names();
  for (const int threads : {2, 3, 4}) {
    INFO(units << " units, " << threads << " threads");
    const auto many = run(threads);
    int64_t matrices = 0;
    for (size_t i = 0; i < names.size(); ++i) {
      if (one.gradients[i].dim() != 2 || names[i].find("0[") == 1 || names[i] == "input" || names[i] == "z0") continue;
      // Without the detector's row, which is summed by thread where the products are shared by columns.
      const auto gates = [&](const Outcome& outcome) { return outcome.gradients[i].narrow(0, 0, 4 * units); };
      INFO("gradient of " << names[i]);
      CHECK(torch::equal(gates(one), gates(many)));
      ++matrices;
    }
    CHECK(matrices == 8);  // U and W of three layers, V of two
  }
}

TEST_CASE("what a share reads before it is written is nothing") {
  const PoisonedMemory poisoned;
  for (const bool norm : {false, true}) {
    RandomWindowOptions o;
    o.batch = 7;
    o.layer_norm = norm;
    o.rate = 0.5;
    o.indexed = norm;
    const auto p = random_window(o);
    const Shared sharing(3, 2);
    const auto fast = by_operator(p, false), dense = by_reference(p, false);
    CHECK(difference(p, fast, dense) < 1e-10);
  }
}

TEST_CASE("windows inside a parallel region of the caller, and in several of its threads, are those outside") {
  RandomWindowOptions o;
  o.batch = 9;
  o.rate = 0.4;
  const auto p = random_window(o);
  const Shared sharing(3, 2);
  const torch::NoGradGuard no_grad;
  const auto want = hm_lstm(p.layers, p.window, p.rule);
  std::vector<WindowResult> got(4);
  at::parallel_for(0, 4, 1, [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard of_this_thread;
    for (int64_t i = begin; i < end; ++i) got[i] = hm_lstm(p.layers, p.window, p.rule);
  });
  for (const auto& result : got) {
    for (size_t l = 0; l < want.h.size(); ++l) CHECK(torch::equal(result.h[l], want.h[l]));
  }
}

TEST_CASE("every task is done once, and an error in one reaches the caller") {
  for (const int threads : {1, 3}) {
    const Shared sharing(0, threads);
    std::vector<std::atomic<int>> done(100);
    cpu::for_tasks(100, [&](int64_t i) { ++done[i]; });
    for (const auto& count : done) CHECK(count == 1);
    CHECK_THROWS_WITH(cpu::for_tasks(5, [](int64_t i) { TORCH_CHECK(i != 3, "task 3"); }), ContainsSubstring("task 3"));
  }
}

TEST_CASE("rows are shared by a rule of sizes") {
  const auto bytes = [](int64_t d) { return 4 * d * 3 * d * int64_t{4}; };
  for (const int64_t cache : {512 * 1024, 2048 * 1024}) {
    CHECK(cpu::row_shares(15, bytes(128), cache) == 1);
    CHECK(cpu::row_shares(16, bytes(128), cache) == 2);
    CHECK(cpu::row_shares(64, bytes(128), cache) == 4);
    CHECK(cpu::row_shares(1, bytes(128), cache) == 1);
    CHECK(cpu::row_shares(64, bytes(256), cache) == 1);
    CHECK(cpu::row_shares(64, bytes(256) / 2, cache) == 1);  // bfloat16
    CHECK(cpu::row_shares(64, bytes(512), cache) == 1);
  }
  CHECK(cpu::row_shares(64, bytes(128), 512 * 1024) == 4);
  CHECK(cpu::row_shares(64, bytes(128), 256 * 1024) == 1);

  HMLSTMArguments a;
  RandomWindowOptions o;
  o.batch = 80;
  o.indexed = true;
  o.table = 50;
  auto p = random_window(o);
  a.layers = p.layers;
  a.window = p.window;
  CHECK(cpu::row_shares(a) == 5);
  o.steps = 2;  // 160 steps: 3 times the rows of the table
  p = random_window(o);
  a.window = p.window;
  CHECK(cpu::row_shares(a) == 3);
}
