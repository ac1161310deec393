// The gradient of the input costs a product for every active step of the first layer, so it is computed only if it is
// needed (handwriting's points need none).
#include <ATen/record_function.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <optional>
#include <tuple>
#include <vector>

#include "catch.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/ops/cuda/hm_lstm_window.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/ops/hm_lstm_schema.h"
#include "support/host_kernels.h"
#include "support/random_window.h"
#include "support/small_ink.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

RandomWindow window_of(bool indexed, bool lengths) {
  RandomWindowOptions o;
  o.rate = 0.4;
  o.indexed = indexed;
  o.lengths = lengths;
  return random_window(o);
}

HMLSTMBackward output_gradients(const HMLSTMForward& forward) {
  HMLSTMBackward b;
  b.result = forward.result;
  b.saved = forward.saved;
  for (const auto& h : b.result.h) b.grad_h.push_back(torch::randn_like(h));
  for (const auto& c : b.result.c_n) b.grad_c_n.push_back(torch::randn_like(c));
  b.grad_z = torch::randn_like(b.result.z);
  return b;
}

/// Whether the backward pass in f computed the gradient of the input; empty if f has none.
template <class F>
std::optional<bool> wanted_in(F f) {
  static std::optional<bool> wanted;
  wanted.reset();
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
        if (std::string(call.name()) == "hmrnn::_hm_lstm_backward") wanted = call.inputs().back().toBool();
        return nullptr;
      }).needsInputs(true));
  f();
  at::removeCallback(handle);
  return wanted;
}

}  // namespace

TEST_CASE("hm_lstm computes the gradient of its input only where it is wanted") {
  const bool indexed = GENERATE(false, true);
  auto p = window_of(indexed, false);
  const auto backward = [&] {
    const auto loss = hm_lstm(p.layers, p.window, p.rule).h[2].square().sum();
    torch::autograd::grad({loss}, {p.layers[0].recurrent});
  };
  CHECK(wanted_in(backward) == false);  // requires_grad alone does not request it
  CHECK(wanted_in([&] { hm_lstm(p.layers, p.window, p.rule).h[2].sum().backward(); }) == true);
  CHECK(p.window.input.grad().abs().max().item<double>() > 0);
  p.window.input = p.window.input.detach();
  CHECK(wanted_in([&] { hm_lstm(p.layers, p.window, p.rule).h[2].sum().backward(); }) == false);
}

TEST_CASE("training a handwriting model does not compute the gradient of the points") {
  torch::manual_seed(6);
  HandwritingModel model(small_ink());
  const auto points = torch::randn({5, 2, 3});
  CHECK(wanted_in([&] { model->forward(points).raw.sum().backward(); }) == false);
  CHECK(model->parameters()[0].grad().defined());
}

TEST_CASE("without the gradient of the input the others are the same bits: CPU and CUDA's driver") {
  const bool indexed = GENERATE(false, true), lengths = GENERATE(false, true), host = GENERATE(false, true);
  INFO("indexed " << indexed << ", lengths " << lengths << ", CUDA's driver " << host);
  const auto p = window_of(indexed, lengths);
  const torch::NoGradGuard no_grad;
  const HMLSTMArguments a{p.layers, p.window, p.rule, p.dropout, std::nullopt, 1e-5};
  HostKernels<double, double> kernels(5, false, false);
  HMLSTMForward forward;
  torch::Tensor packed;  // of the CPU
  if (host) {
    forward = cuda::window_forward(a, true, kernels);
  } else {
    std::tie(forward.result, packed) = call_forward(a, true);
  }
  auto b = output_gradients(forward);
  const auto run = [&] {
    return host ? gradient_list(cuda::window_backward(a, b, kernels), a) : call_backward(a, b, packed);
  };
  const auto with = run();
  b.input_gradient = false;
  const auto without = run();
  REQUIRE(with.size() == without.size());
  CHECK(with[0].sizes() == p.window.input.sizes());
  CHECK(with[0].abs().max().item<double>() > 0);
  CHECK(without[0].numel() == 0);
  for (size_t i = 1; i < with.size(); ++i) CHECK(same(with[i], without[i]));
}
