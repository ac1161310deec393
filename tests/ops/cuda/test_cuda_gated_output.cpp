// The CUDA backend of gated_output on the host (see test_cuda_window.cpp) against the reference.
#include <ATen/CPUGeneratorImpl.h>
#include <torch/autograd.h>

#include "catch.h"
#include "hmrnn/ops/cuda/gated_output_window.h"
#include "hmrnn/ops/gated_output.h"
#include "support/host_kernels.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct OutputCase {
  std::vector<int64_t> sizes;
  int64_t out, steps, batch;
  int threads;
  bool reversed, packs;
};

struct Values {
  std::vector<torch::Tensor> all;  // output, gradients of h per layer, of gates, of embedding per layer
};

/// Forward pass in types T, P; backward pass from the result of the forward pass in types T, T, so that a sum whose
/// sign changes by rounding does not switch the ReLU.
template <class T, class P>
Values by_blocks(const OutputCase& c, const std::vector<torch::Tensor>& h, const torch::Tensor& gates,
                 const std::vector<torch::Tensor>& embedding, const torch::Tensor& grad) {
  torch::NoGradGuard no_grad;
  const PoisonedMemory poison;
  REQUIRE(torch::empty({3}).isnan().all().item<bool>());
  HostGatedOutputKernels<T, P> kernels(c.threads, c.reversed, c.packs);
  auto [output, saved] = cuda::gated_output_forward(h, gates, embedding, kernels);
  HostGatedOutputKernels<T, T> exact(c.threads, c.reversed, c.packs);
  const auto [exact_output, exact_saved] = cuda::gated_output_forward(h, gates, embedding, exact);
  auto gradients = cuda::gated_output_backward(h, gates, embedding, exact_output, exact_saved, grad, kernels);
  gradients.insert(gradients.begin(), output);
  return {gradients};
}

/// Largest error relative to the largest value of each tensor (at least 1).
double worst(const Values& a, const Values& b) {
  REQUIRE(a.all.size() == b.all.size());
  double out = 0;
  for (size_t i = 0; i < a.all.size(); ++i) {
    INFO(i << " of output, h, gates, embedding");
    const double e = distance(a.all[i], b.all[i]) / std::max(1.0, b.all[i].abs().max().item<double>());
    if (e > 0.2) CHECK(e <= 0.2);
    out = std::max(out, e);
  }
  return out;
}

}  // namespace

TEST_CASE("the CUDA gated output equals the reference, with every gradient") {
  const auto c =
      GENERATE(OutputCase{{5}, 1, 2, 3, 1, false, false}, OutputCase{{8, 3, 12}, 8, 3, 5, 5, true, true},
               OutputCase{{31, 33}, 513, 2, 3, 32, false, false}, OutputCase{{4, 1, 1, 6}, 400, 1, 64, 7, false, true});
  auto generator = at::detail::createCPUGenerator(c.out);
  const auto normal = [&](torch::IntArrayRef shape) { return torch::randn(shape, generator, torch::kFloat64); };
  std::vector<torch::Tensor> h, embedding;
  int64_t total = 0;
  for (const auto d : c.sizes) {
    h.push_back(normal({c.steps, c.batch, d}).requires_grad_());
    embedding.push_back((normal({c.out, d}) / std::sqrt(static_cast<double>(d))).requires_grad_());
    total += d;
  }
  const auto L = static_cast<int64_t>(h.size());
  const auto gates = (normal({L, total}) / std::sqrt(static_cast<double>(total))).requires_grad_();
  const auto grad = normal({c.steps, c.batch, c.out});

  const auto expected = reference_gated_output(h, gates, embedding);
  auto leaves = h;
  leaves.push_back(gates);
  leaves.insert(leaves.end(), embedding.begin(), embedding.end());
  Values want{torch::autograd::grad({expected}, leaves, {grad})};
  want.all.insert(want.all.begin(), expected.detach());
  CHECK(worst(by_blocks<double, double>(c, h, gates, embedding, grad), want) < 1e-12);

  const auto floats = [](std::vector<torch::Tensor> list) {
    for (auto& x : list) x = x.detach().to(torch::kFloat32);
    return list;
  };
  Values want32{floats(want.all)};
  const auto gates32 = gates.detach().to(torch::kFloat32), grad32 = grad.to(torch::kFloat32);
  // Two consecutive sums of at most 513 terms: 2 · √513 · 6e-8 = 3e-6 of the largest value; the bound is 5 times that.
  CHECK(worst(by_blocks<float, float>(c, floats(h), gates32, floats(embedding), grad32), want32) < 1.5e-5);
  // Operands are rounded by 2^-9 each, and e = gate · dy once more: 3 · 2^-9 relative to the size of the terms; the
  // largest value of a tensor is at least about that size.
  const double off = worst(by_blocks<float, c10::BFloat16>(c, floats(h), gates32, floats(embedding), grad32), want32);
  CHECK(off > 1e-5);
  CHECK(off < 3 / 512.0 * 2);
}
