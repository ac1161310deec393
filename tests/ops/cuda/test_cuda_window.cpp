// The CUDA backend of hm_lstm on the host: the driver of the window and the bodies of its kernels, in emulated blocks
// of threads, against the CPU operator with every gradient. Tests that need a GPU are in test_hm_lstm_cuda.cpp.

#include <optional>

#include "catch.h"
#include "hmrnn/ops/cuda/hm_lstm_window.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/ops/hm_lstm_schema.h"
#include "support/host_kernels.h"
#include "support/window_comparison.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct Launch {
  int threads = 1;
  bool reversed = false;
  bool packs = false;
};

template <class T, class P>
Outcome by_blocks(const RandomWindow& p, bool some, std::optional<torch::ScalarType> product_dtype,
                  const Launch& launch) {
  torch::NoGradGuard no_grad;
  const PoisonedMemory poison;
  REQUIRE(torch::empty({3}).isnan().all().item<bool>());
  HostKernels<T, P> kernels(launch.threads, launch.reversed, launch.packs);
  const HMLSTMArguments a{p.layers, p.window, p.rule, p.dropout, product_dtype, 1e-5};
  check_arguments(a);
  Outcome out;
  auto forward = cuda::window_forward(a, true, kernels);
  out.result = forward.result;
  const auto L = a.num_layers();
  const auto seeds = cotangents(out.result, some);
  const std::vector<torch::Tensor> grad_h(seeds.begin(), seeds.begin() + L),
      grad_c(seeds.begin() + L, seeds.begin() + 2 * L);
  const auto g = cuda::window_backward(
      a, {out.result, forward.saved, grad_h, grad_c, a.detect() ? seeds[2 * L] : torch::Tensor()}, kernels);
  out.launches = kernels.launches;
  out.gradients = gradient_list(g, a);
  return out;
}

const Launch kLaunches[] = {
    {1, false, false}, {5, false, false}, {5, true, true}, {32, false, true}, {32, true, false}};

}  // namespace

TEST_CASE("the CUDA window equals the CPU operator in float64, with every gradient and in blocks of several sizes") {
  double worst = 0;
  const auto kinds = window_kinds();
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto& kind = kinds[i];
    const auto p = random_window(kind.options);
    const auto& launch = kLaunches[i % 5];
    INFO(kind.name << ", threads " << launch.threads);
    const double e = difference(p, by_blocks<double, double>(p, kind.some_gradients, std::nullopt, launch),
                                by_operator(p, kind.some_gradients));
    CHECK(e < 1e-10);
    worst = std::max(worst, e);
  }
  std::printf("cuda window on the host: %zu cases in float64, worst error %.1e\n", kinds.size(), worst);
}

TEST_CASE("the CUDA window at sizes that no block divides, and at large ones") {
  struct Size {
    std::vector<int64_t> sizes;
    int64_t input_size, steps, batch;
    int threads;
  };
  // d = 1, 31, 33, 400, 513, 1024 at every position of a stack, batches 1, 3 and 64; waves of three layers
  const Size all[] = {{{1, 31}, 1, 4, 64, 2},       {{31, 1, 33}, 33, 4, 3, 32}, {{33, 33}, 3, 3, 64, 4},
                      {{400, 1, 400}, 31, 3, 3, 7}, {{513, 31}, 4, 3, 3, 32},    {{1, 1, 1}, 1, 6, 3, 3},
                      {{1024, 400}, 8, 3, 1, 32},   {{33, 1024}, 33, 3, 3, 16},  {{1024}, 513, 2, 1, 32},
                      {{3, 5, 2, 4, 3}, 3, 6, 3, 3}};
  double worst = 0;
  uint64_t seed = 500;
  for (const auto& size : all) {
    for (const bool norm : {true, false}) {
      RandomWindowOptions o;
      o.sizes = size.sizes;
      o.input_size = size.input_size;
      o.steps = size.steps;
      o.batch = size.batch;
      o.layer_norm = norm;
      o.indexed = ++seed % 2 == 0;
      o.rate = 0.4;
      o.seed = seed;
      const auto p = random_window(o);
      INFO("sizes " << torch::IntArrayRef(size.sizes) << ", batch " << size.batch << ", norm " << norm);
      const double e = difference(p, by_blocks<double, double>(p, false, std::nullopt, {size.threads, false, norm}),
                                  by_operator(p, false));
      CHECK(e < 1e-10);
      worst = std::max(worst, e);
    }
  }
  std::printf("cuda window on the host: sizes 1 to 1024, worst error %.1e\n", worst);
}

TEST_CASE("the CUDA window in float32, and with bfloat16 products") {
  // Drawn boundaries: in float32 a detector near its threshold may decide either way.
  for (const bool norm : {false, true}) {
    RandomWindowOptions o;
    o.sizes = {32, 20, 33};
    o.steps = 10;
    o.batch = 4;
    o.layer_norm = norm;
    o.indexed = norm;
    o.lengths = true;
    o.rate = 0.4;
    o.seed = 700;
    o.dtype = torch::kFloat32;
    const auto p = random_window(o);
    const auto exact = by_operator(p, false);
    // Both sides round sums of at most 132 terms in different orders, through 10 steps forward and 10 backward: some 20
    // · √132 · 6e-8 = 1.4e-5 of the largest value; the bound is 5 times that.
    CHECK(difference(p, by_blocks<float, float>(p, false, std::nullopt, {5, false, true}), exact) < 7e-5);
    // bfloat16 rounds each operand by at most 2^-9 of its value: a relative error of about 2^-8 in a pre-activation.
    // Outputs stay within a few times that; gradients multiply two such factors at each step (as in
    // test_hm_lstm_operator.cpp).
    const auto rounded = by_blocks<float, c10::BFloat16>(p, false, torch::kBFloat16, {5, false, true});
    const double unit = 1.0 / 256;
    double h = 0;
    for (size_t l = 0; l < 3; ++l) h = std::max(h, distance(rounded.result.h[l], exact.result.h[l].detach()));
    CHECK(h > 1e-5);
    CHECK(h < 20 * unit);
    for (size_t i = 0; i < rounded.gradients.size(); ++i) {
      if (!exact.gradients[i].defined()) continue;
      INFO("gradient of " << p.names()[i]);
      const double scale = std::max(1.0, exact.gradients[i].abs().max().item<double>());
      CHECK(distance(rounded.gradients[i], exact.gradients[i]) < 60 * unit * scale);
    }
  }
}

TEST_CASE("bfloat16 rounds operands of products, and nothing else") {
  // Operands that are exact in bfloat16: the products of a step then equal those in float32.
  RandomWindowOptions o;
  o.sizes = {12, 8};
  o.steps = 1;
  o.seed = 710;
  o.rate = 1;
  o.dtype = torch::kFloat32;
  auto p = random_window(o);
  torch::NoGradGuard no_grad;
  const auto round = [](torch::Tensor x) { x.copy_(x.to(torch::kBFloat16)); };
  round(p.window.input);
  for (size_t l = 0; l < 2; ++l) {
    round(p.window.h0[l]);
    round(p.layers[l].recurrent);
    round(p.layers[l].bottom_up);
    if (l == 0) round(p.layers[l].top_down);
  }
  const HMLSTMArguments a{p.layers, p.window, p.rule, {}, torch::kBFloat16, 1e-5};
  HostKernels<float, float> plain_kernels(4, false, true);
  HostKernels<float, c10::BFloat16> rounding_kernels(4, false, true);
  const auto exact = cuda::window_forward(a, false, plain_kernels).result;
  const auto rounded = cuda::window_forward(a, false, rounding_kernels).result;
  CHECK(same(exact.h[0], rounded.h[0]));
  CHECK(distance(exact.h[1], rounded.h[1]) > 1e-6);  // its input is h of layer 0, which is not exact in bfloat16
}

TEST_CASE("the CUDA window without gradients, cut in two, and by the number of its launches") {
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  RandomWindowOptions o;
  o.steps = 9;
  o.mode = mode;
  o.seed = 800;
  const auto p = random_window(o);
  torch::NoGradGuard no_grad;
  HostKernels<double, double> kernels(5, false, false);
  const auto run = [&](const RandomWindow& w, bool training) {
    kernels.launches = 0;
    return cuda::window_forward(HMLSTMArguments{w.layers, w.window, w.rule, {}, std::nullopt, 1e-5}, training, kernels)
        .result;
  };
  const auto whole = run(p, true);
  CHECK(kernels.launches == 3 + 2 * 9 + 3 - 2);  // 2T + L - 2 waves
  const auto again = run(p, false);
  CHECK(kernels.launches == 3 + 2 * 9 + 3 - 2);
  auto first = p, second = p;
  first.window.input = p.window.input.slice(0, 0, 4);
  second.window.input = p.window.input.slice(0, 4);
  if (p.rule.noise.defined()) {
    first.rule.noise = p.rule.noise.slice(0, 0, 4);
    second.rule.noise = p.rule.noise.slice(0, 4);
  }
  const auto a = run(first, false);
  for (size_t l = 0; l < 3; ++l) second.window.h0[l] = a.h[l][3].clone();
  second.window.c0 = a.c_n;
  second.window.z0 = a.z[3].clone();
  const auto b = run(second, true);
  for (size_t l = 0; l < 3; ++l) {
    CHECK(same(again.h[l], whole.h[l]));
    CHECK(same(again.c_n[l], whole.c_n[l]));
    CHECK(same(torch::cat({a.h[l], b.h[l]}), whole.h[l]));
    CHECK(same(b.c_n[l], whole.c_n[l]));
  }
  CHECK(same(again.z, whole.z));
  CHECK(same(again.state_index, whole.state_index));
  CHECK(same(torch::cat({a.z, b.z}), whole.z));
}

TEST_CASE("the CUDA window takes parameters that are not aligned") {
  RandomWindowOptions o;
  o.sizes = {8, 12};
  o.rate = 0.5;
  o.seed = 810;
  const auto p = random_window(o), shifted = not_aligned(p);
  REQUIRE(reinterpret_cast<uintptr_t>(shifted.layers[1].bias.data_ptr()) % 16 != 0);
  CHECK(difference(p, by_blocks<double, double>(shifted, false, std::nullopt, {5, false, true}),
                   by_operator(p, false)) < 1e-10);
}

TEST_CASE("an index out of range, or a boundary other than 0 and 1, is reported; no kernel reads out of bounds") {
  RandomWindowOptions o;
  o.indexed = true;
  o.rate = 0.5;
  const auto good = random_window(o);
  const torch::NoGradGuard no_grad;
  const auto forward = [](const RandomWindow& p) {
    HostKernels<double, double> kernels(1, false, false);
    cuda::window_forward(HMLSTMArguments{p.layers, p.window, p.rule, {}, std::nullopt, 1e-5}, false, kernels);
  };
  CHECK_NOTHROW(forward(good));
  auto p = good;
  p.window.index = good.window.index.clone();
  p.window.index[1][2] = o.table;
  CHECK_THROWS_WITH(forward(p), ContainsSubstring("index must lie in"));
  for (const double bad : {0.4, 2.0, -1.0, std::nan("")}) {
    p = good;
    p.window.z0 = good.window.z0.clone();
    p.window.z0[1][0] = bad;
    CHECK_THROWS_WITH(forward(p), ContainsSubstring("z0 must be 0 or 1"));
    p = good;
    p.rule.given = good.rule.given.clone();
    p.rule.given[6][2][1] = bad;
    CHECK_THROWS_WITH(forward(p), ContainsSubstring("boundaries must be 0 or 1"));
  }
  const int64_t index[] = {-1, 0, 6, 7};
  cuda::TermRows<double> rows;
  rows.index = index;
  rows.rows = 7;
  CHECK(rows.row(0) == 0);
  CHECK(rows.row(1) == 0);
  CHECK(rows.row(2) == 6);
  CHECK(rows.row(3) == 6);
}
