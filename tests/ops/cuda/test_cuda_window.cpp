// The CUDA backend of hm_lstm on the host: the driver of the window and the bodies of its kernels, in emulated blocks
// of threads, against the CPU operator with every gradient. What only a GPU can show is in test_hm_lstm_cuda.cpp.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>

#include <optional>
#include <random>

#include "catch.h"
#include "hmrnn/ops/cuda/hm_lstm_window.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/ops/hm_lstm_schema.h"
#include "support/host_kernels.h"
#include "support/random_window.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct Launch {
  int threads = 1;
  bool reversed = false;
  bool packs = false;
};

struct Outcome {
  WindowResult result;
  std::vector<torch::Tensor> gradients;  // of the leaves
  int64_t launches = 0;
};

std::vector<torch::Tensor> outputs(const WindowResult& r) {
  std::vector<torch::Tensor> out = r.h;
  out.insert(out.end(), r.c_n.begin(), r.c_n.end());
  out.push_back(r.z);
  return out;
}

/// One for each output; `some`: only every second output has a gradient at all.
std::vector<torch::Tensor> cotangents(const WindowResult& r, bool some) {
  auto generator = at::detail::createCPUGenerator(5);
  std::vector<torch::Tensor> out;
  for (const auto& x : outputs(r)) {
    const auto v = torch::randn(x.sizes(), generator, x.options().requires_grad(false));
    out.push_back(some && out.size() % 2 == 0 ? torch::Tensor() : v);
  }
  return out;
}

Outcome by_cpu(const RandomWindow& p, bool some, std::optional<torch::ScalarType> product_dtype) {
  Outcome out;
  out.result = hm_lstm(p.layers, p.window, p.rule, product_dtype);
  const auto all = outputs(out.result), seeds = cotangents(out.result, some);
  std::vector<torch::Tensor> ends, directions;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!seeds[i].defined() || !all[i].requires_grad() || all[i].numel() == 0) continue;
    ends.push_back(all[i]);
    directions.push_back(seeds[i]);
  }
  const auto g = torch::autograd::grad(ends, p.leaves(), directions, false, false, true);
  out.gradients.assign(g.begin(), g.end());
  return out;
}

template <class T, class P>
Outcome by_blocks(const RandomWindow& p, bool some, std::optional<torch::ScalarType> product_dtype,
                  const Launch& launch) {
  torch::NoGradGuard no_grad;
  HostKernels<T, P> kernels(launch.threads, launch.reversed, launch.packs);
  const auto a = make_arguments(p.layers, p.window, p.rule, product_dtype, 1e-5);
  check_arguments(a);
  Outcome out;
  auto forward = cuda::window_forward(a, true, kernels);
  out.result = forward.result;
  const auto L = a.layers();
  const auto seeds = cotangents(out.result, some);
  const std::vector<torch::Tensor> grad_h(seeds.begin(), seeds.begin() + L),
      grad_c(seeds.begin() + L, seeds.begin() + 2 * L);
  const auto g = cuda::window_backward(a, out.result, forward.saved, grad_h, grad_c,
                                       a.detect() ? seeds[2 * L] : torch::Tensor(), kernels);
  out.launches = kernels.launches;
  out.gradients = gradient_list(g, a);
  return out;
}

/// Largest difference of outputs and gradients, relative to the largest value of each tensor (at least 1).
double difference(const RandomWindow& p, const Outcome& a, const Outcome& b) {
  double worst = 0;
  const auto compare = [&](const std::string& name, const torch::Tensor& x, const torch::Tensor& y) {
    INFO(name);
    if (x.defined() && y.defined()) REQUIRE(x.sizes() == y.sizes());
    const auto zero = torch::zeros_like(y.defined() ? y : x).detach();
    const double scale = y.defined() && y.numel() > 0 ? std::max(1.0, y.detach().abs().max().item<double>()) : 1.0;
    const double e = distance(x.defined() ? x.detach() : zero, y.defined() ? y.detach() : zero) / scale;
    if (e > 1e-3) CHECK(e < 1e-3);
    worst = std::max(worst, e);
  };
  const auto x = outputs(a.result), y = outputs(b.result);
  for (size_t i = 0; i < x.size(); ++i) compare("output " + std::to_string(i), x[i], y[i]);
  CHECK(torch::equal(a.result.state_index, b.result.state_index));
  const auto names = p.names();
  REQUIRE(names.size() == a.gradients.size());
  for (size_t i = 0; i < names.size(); ++i) {
    if (p.layers.size() == 1 && names[i] == "z0") continue;  // empty
    compare("gradient of " + names[i], a.gradients[i], b.gradients[i]);
  }
  return worst;
}

const Launch kLaunches[] = {
    {1, false, false}, {5, false, false}, {5, true, true}, {32, false, true}, {32, true, false}};

}  // namespace

TEST_CASE("the CUDA window equals the CPU operator in float64, with every gradient and in blocks of several sizes") {
  int cases = 0;
  double worst = 0;
  for (int64_t layers = 1; layers <= 3; ++layers) {
    for (const bool norm : {false, true}) {
      for (int kind = 0; kind < 12; ++kind) {
        RandomWindowOptions o;
        const std::vector<int64_t> sizes{8, 5, 12};
        o.sizes.assign(sizes.begin(), sizes.begin() + layers);
        o.layer_norm = norm;
        o.indexed = kind % 2 == 0;
        o.lengths = kind % 3 == 2;
        o.slope = kind % 3 == 0 ? 1.0 : kind % 3 == 1 ? 1.7 : 0.4;
        if (kind < 3) o.boundary_bias = std::array<double, 3>{-0.4, 0.0, 0.3}[kind];
        if (kind == 3 || kind == 4) o.mode = BoundaryMode::Bernoulli;
        if (kind >= 5 && kind < 9) o.rate = std::array<double, 4>{0, 0.2, 0.6, 1}[kind - 5];
        if (kind >= 9) o.rate = std::array<double, 3>{0, 0.4, 1}[kind - 9], o.boundary_gradient = false;
        o.z0 = kind == 7 || kind == 9 ? 1 : -1;
        o.seed = 100 * layers + kind + (norm ? 50 : 0);
        const bool some = kind == 4 || kind == 6;
        const auto p = random_window(o);
        const auto& launch = kLaunches[cases % 5];
        INFO("layers " << layers << ", norm " << norm << ", kind " << kind << ", threads " << launch.threads);
        const double e =
            difference(p, by_blocks<double, double>(p, some, std::nullopt, launch), by_cpu(p, some, std::nullopt));
        CHECK(e < 1e-10);
        worst = std::max(worst, e);
        ++cases;
      }
    }
  }
  std::printf("cuda window on the host: %d cases in float64, worst error %.1e\n", cases, worst);
}
