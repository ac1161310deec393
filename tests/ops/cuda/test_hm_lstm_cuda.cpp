// The operators on a GPU against the CPU. Tests that need no GPU (indexing, reductions, the driver) are in
// test_cuda_window.cpp. Tagged [sanitizer]: the smallest tests that together launch every kind of kernel
// (tests/gpu.sh).
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>
#include <torch/cuda.h>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/ops/cuda/synchronization.h"
#include "hmrnn/ops/gated_output.h"
#include "support/cuda.h"
#include "support/window_comparison.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// Full float32 products for its lifetime, whatever the setting.
class NoTF32 {
 public:
  NoTF32() : before_(at::globalContext().allowTF32CuBLAS()) { at::globalContext().setAllowTF32CuBLAS(false); }
  ~NoTF32() { at::globalContext().setAllowTF32CuBLAS(before_); }
  NoTF32(const NoTF32&) = delete;
  NoTF32& operator=(const NoTF32&) = delete;

 private:
  bool before_;
};

RandomWindowOptions options_of(const std::vector<int64_t>& sizes, int64_t batch, torch::ScalarType dtype) {
  RandomWindowOptions o;
  o.sizes = sizes;
  o.batch = batch;
  o.dtype = dtype;
  o.rate = 0.4;
  o.seed = 900 + sizes.size() + batch;
  return o;
}

}  // namespace

TEST_CASE("the CUDA library registers every operator of the CPU, but for loss and update", "[cuda]") {
  try {
    load_cuda_library();  // needs all of LibTorch's CUDA libraries, but no device
  } catch (const Error& error) {
    std::cout << "skipped: " << error.what() << std::endl;
    return;
  }
  int operators = 0;
  for (const auto& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (name.name.rfind("hmrnn::", 0) != 0) continue;
    const auto op = c10::Dispatcher::singleton().findSchemaOrThrow(name.name.c_str(), name.overload_name.c_str());
    if (!op.hasKernelForDispatchKey(c10::DispatchKey::CPU)) continue;
    INFO(name.name);
    // Elsewhere the update is one of LibTorch's operations, for every device, and the loss is LibTorch's function.
    if (name.name == "hmrnn::_clipped_adam_" || name.name == "hmrnn::_average_") {
      CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::CompositeExplicitAutograd));
    } else if (name.name != "hmrnn::_cross_entropy") {
      CHECK(op.hasKernelForDispatchKey(c10::DispatchKey::CUDA));
    }
    ++operators;
  }
  CHECK(operators >= 4);
}

TEST_CASE("hm_lstm on CUDA equals the CPU in float64, with every gradient", "[cuda]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  double worst = 0;
  for (const auto& kind : window_kinds()) {
    const auto p = random_window(kind.options);
    INFO(kind.name);
    const double e = difference(p, by_operator(p.to(*cuda), kind.some_gradients), by_operator(p, kind.some_gradients));
    CHECK(e < 1e-10);
    worst = std::max(worst, e);
  }
  std::printf("hm_lstm on CUDA: worst error in float64 %.1e\n", worst);
}

TEST_CASE("hm_lstm on CUDA equals the CPU at all sizes, in float64 and float32", "[cuda]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  const NoTF32 full;
  // In the last two, a wave has more layers than fit into one launch.
  const std::vector<int64_t> narrow = {2, 3, 2, 3, 2, 3, 2, 3, 2, 3};
  const std::vector<std::vector<int64_t>> all = {{1, 31, 33},
                                                 {400, 400, 400},
                                                 {513, 1, 1024},
                                                 {1024, 513},
                                                 {2048},
                                                 narrow,
                                                 {20, 13, 20, 13, 20, 13, 20, 13, 20, 13}};
  for (const auto& sizes : all) {
    for (const int64_t batch : {1, 3, 64}) {
      INFO("sizes " << torch::IntArrayRef(sizes) << ", batch " << batch);
      const auto p64 = random_window(options_of(sizes, batch, torch::kFloat64));
      CHECK(difference(p64, by_operator(p64.to(*cuda), false), by_operator(p64, false)) < 1e-10);
      // Layer norm over two or three units divides by a deviation that may be only rounding.
      if (sizes == narrow) continue;
      // Sums of at most 8192 terms, through 7 steps in each direction: 14 · √8192 · 6e-8 = 8e-5 of the largest value;
      // the bound is 5 times that.
      const auto p32 = random_window(options_of(sizes, batch, torch::kFloat32));
      CHECK(difference(p32, by_operator(p32.to(*cuda), false), by_operator(p32, false)) < 4e-4);
    }
  }
}

TEST_CASE("hm_lstm on CUDA with bfloat16 products and with TF32 stays within their rounding", "[cuda][sanitizer]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  for (const bool tf32 : {false, true}) {
    const auto p = random_window(options_of({64, 96, 32}, 16, torch::kFloat32));
    const auto exact = by_operator(p, false);
    const bool before = at::globalContext().allowTF32CuBLAS();
    at::globalContext().setAllowTF32CuBLAS(tf32);
    const auto rounded = by_operator(p.to(*cuda), false, tf32 ? std::nullopt : std::make_optional(torch::kBFloat16));
    at::globalContext().setAllowTF32CuBLAS(before);
    // The bounds of test_cuda_window.cpp; TF32 has 10 bits of mantissa, bfloat16 has 7.
    const double unit = tf32 ? 1.0 / 2048 : 1.0 / 256;
    for (size_t l = 0; l < 3; ++l) {
      const double e = distance(rounded.result.h[l].detach().cpu(), exact.result.h[l].detach());
      CHECK(e > 1e-5);
      CHECK(e < 20 * unit);
    }
    for (size_t i = 0; i < exact.gradients.size(); ++i) {
      if (!exact.gradients[i].defined()) continue;
      const double scale = std::max(1.0, exact.gradients[i].abs().max().item<double>());
      INFO(p.names()[i]);
      CHECK(distance(rounded.gradients[i].cpu(), exact.gradients[i]) < 60 * unit * scale);
    }
  }
}

TEST_CASE("hm_lstm on CUDA takes tensors that are not aligned", "[cuda]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    for (const bool indexed : {false, true}) {
      auto o = options_of({64, 32, 48}, 5, dtype);
      o.indexed = indexed;
      const auto p = random_window(o), shifted = not_aligned(p.to(*cuda));
      REQUIRE(reinterpret_cast<uintptr_t>(shifted.layers[1].bias.data_ptr()) % 16 != 0);
      CHECK(difference(p, by_operator(shifted, false), by_operator(p, false)) <
            (dtype == torch::kFloat64 ? 1e-10 : 4e-4));
      if (dtype == torch::kFloat32) by_operator(shifted, false, torch::kBFloat16);  // must not fail
    }
  }
  torch::cuda::synchronize();
}

TEST_CASE("soft boundaries on CUDA equal the CPU", "[cuda][sanitizer]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  RandomWindowOptions o;
  o.mode = BoundaryMode::Soft;
  o.lengths = true;
  const auto p = random_window(o);
  CHECK(difference(p, by_operator(p.to(*cuda), false), by_operator(p, false)) < 1e-10);
}

TEST_CASE("hm_lstm on CUDA repeats bit for bit, and without gradients gives the same", "[cuda]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  for (const auto& [indexed, layer_norm] : {std::pair(false, true), {true, true}, {true, false}}) {
    auto o = options_of({160, 96, 64}, 32, torch::kFloat32);
    o.steps = 20;
    o.indexed = indexed;
    o.layer_norm = layer_norm;
    const auto p = random_window(o).to(*cuda);
    check_repeats(p);
  }
}

TEST_CASE("a training step on CUDA never makes the host wait", "[cuda]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  const auto forbid =
      reinterpret_cast<HmrnnCudaForbidSynchronization>(dlsym(RTLD_DEFAULT, "hmrnn_cuda_forbid_synchronization"));
  REQUIRE(forbid != nullptr);
  for (const auto mode : {BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft}) {
    INFO(to_string(mode));
    HMLSTM model(HMLSTMOptions(16, {48, 33, 64}).boundary(mode));
    model->to(*cuda);
    const auto table = torch::randn({50, 16}, torch::TensorOptions(*cuda)).requires_grad_();
    const auto index = torch::randint(0, 50, {12, 8}, torch::TensorOptions(*cuda).dtype(torch::kInt64));
    HMLSTMCall call;
    call.lengths = torch::full({8}, 9, torch::TensorOptions(*cuda).dtype(torch::kInt64));
    const auto gates = torch::randn({3, 145}, torch::TensorOptions(*cuda)).requires_grad_();
    std::vector<torch::Tensor> embedding;
    for (const int64_t d : {48, 33, 64})
      embedding.push_back(torch::randn({32, d}, torch::TensorOptions(*cuda)).requires_grad_());
    const auto step = [&] {
      const auto out = model->forward_indexed(table, index, std::nullopt, call);
      const auto loss = gated_output(out.h, out.state_index, gates, embedding).sum() + out.z.sum();
      auto leaves = model->parameters();
      leaves.push_back(table);
      leaves.push_back(gates);
      return torch::autograd::grad({loss}, leaves, {}, false, false, true)[0];
    };
    step();  // the first step initialises libraries
    forbid(1);
    std::string error;
    torch::Tensor g;
    try {
      g = step();
    } catch (const std::exception& e) {
      error = e.what();
    }
    CHECK_THROWS(torch::ones({}, *cuda).item<float>());  // waiting for the device is detected
    forbid(0);
    CHECK(error == "");
    REQUIRE(g.defined());
    CHECK(g.isfinite().all().item<bool>());
  }
}

TEST_CASE("gated_output on CUDA equals the reference, with every gradient", "[cuda][sanitizer]") {
  const auto cuda = find_cuda();
  if (!cuda) return;
  const NoTF32 full;
  for (const auto dtype : {torch::kFloat64, torch::kFloat32}) {
    torch::manual_seed(3);
    std::vector<torch::Tensor> leaves, moved;
    const auto leaf = [&](const torch::Tensor& x) {
      leaves.push_back(x.to(dtype).requires_grad_());
      moved.push_back(leaves.back().detach().to(*cuda).requires_grad_());
    };
    const std::vector<int64_t> sizes{31, 64, 33};
    for (const auto d : sizes) leaf(torch::randn({7, 5, d}, torch::kFloat64));
    for (const auto d : sizes) leaf(torch::randn({512, d}, torch::kFloat64) / std::sqrt(static_cast<double>(d)));
    leaf(torch::randn({3, 128}, torch::kFloat64) / 10);
    const auto grad = torch::randn({7, 5, 512}, dtype);
    const auto run = [](const std::vector<torch::Tensor>& x, bool reference) {
      const std::vector<torch::Tensor> h(x.begin(), x.begin() + 3), embedding(x.begin() + 3, x.begin() + 6);
      return reference ? reference_gated_output(h, x[6], embedding) : gated_output(h, {}, x[6], embedding);
    };
    const auto want = run(leaves, true), got = run(moved, false);
    const double bound = dtype == torch::kFloat64 ? 1e-12 : 1.5e-5;  // as in test_cuda_gated_output.cpp
    CHECK(distance(got.detach().cpu(), want.detach()) < bound * want.abs().max().item<double>());
    const auto a = torch::autograd::grad({got}, moved, {grad.to(*cuda)}),
               b = torch::autograd::grad({want}, leaves, {grad});
    for (size_t i = 0; i < a.size(); ++i) {
      CHECK(distance(a[i].cpu(), b[i]) < bound * std::max(1.0, b[i].abs().max().item<double>()));
    }
  }
}
