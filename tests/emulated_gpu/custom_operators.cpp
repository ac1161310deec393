// Operators of the emulated device that are not just the CPU operator on the same memory.
#include <ATen/core/PhiloxRNGEngine.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/ops/copy_native.h>

#include <functional>

#include "operators.h"

namespace emulated_gpu {

namespace {

at::Tensor& copy_(at::Tensor& self, const at::Tensor& from, bool non_blocking) {
  if (self.is_cuda() && from.is_cuda()) {
    if (self.is_same(from)) return self;
    TORCH_CHECK(self.sizes() == from.sizes() || at::is_expandable_to(from.sizes(), self.sizes()), "copy_: sizes ",
                self.sizes(), " and ", from.sizes());
    launch("copy_", [to = Place(self), source = Place(from)] { to.on_host().copy_(source.on_host()); });
    return self;
  }
  return at::native::copy_(self, from, non_blocking);
}

/// A host generator that continues from the state of the device's generator: (seed, offset), which a graph reads at
/// replay.
std::function<at::Generator()> host_generator(const std::optional<at::Generator>& generator, int64_t numel) {
  auto* device =
      at::get_generator_or_default<at::CUDAGeneratorImpl>(generator, at::cuda::detail::getDefaultCUDAGenerator());
  at::PhiloxCudaState state;
  {
    const std::lock_guard<std::mutex> lock(device->mutex_);
    state = device->philox_cuda_state(static_cast<uint64_t>((numel + 3) / 4 * 4));
  }
  return [state] {
    const uint64_t seed = state.captured_ ? static_cast<uint64_t>(*state.seed_.ptr) : state.seed_.val;
    const uint64_t offset =
        state.captured_ ? static_cast<uint64_t>(*state.offset_.ptr) + state.offset_intragraph_ : state.offset_.val;
    return at::make_generator<at::CPUGeneratorImpl>(at::Philox4_32(seed, 0, offset)());
  };
}

at::Tensor& random_in_place(at::Tensor& self, const std::optional<at::Generator>& generator, const char* name,
                            std::function<void(at::Tensor, at::Generator)> fill) {
  launch(name, [place = Place(self), make = host_generator(generator, self.numel()), fill] {
    fill(place.on_host(), make());
  });
  return self;
}

at::Tensor& uniform_(at::Tensor& self, double from, double to, std::optional<at::Generator> generator) {
  return random_in_place(self, generator, "uniform_", [=](at::Tensor x, at::Generator g) { x.uniform_(from, to, g); });
}
at::Tensor& normal_(at::Tensor& self, double mean, double std, std::optional<at::Generator> generator) {
  return random_in_place(self, generator, "normal_", [=](at::Tensor x, at::Generator g) { x.normal_(mean, std, g); });
}
at::Tensor& bernoulli_(at::Tensor& self, double p, std::optional<at::Generator> generator) {
  return random_in_place(self, generator, "bernoulli_", [=](at::Tensor x, at::Generator g) { x.bernoulli_(p, g); });
}
at::Tensor& random_from_(at::Tensor& self, int64_t from, std::optional<int64_t> to,
                         std::optional<at::Generator> generator) {
  return random_in_place(self, generator, "random_", [=](at::Tensor x, at::Generator g) { x.random_(from, to, g); });
}

std::tuple<at::Tensor, at::Tensor> native_dropout(const at::Tensor& x, double p, std::optional<bool> train) {
  if (train && !*train) return {x.clone(), at::ones_like(x, at::kBool)};
  auto mask = at::empty_like(x, at::kBool);
  bernoulli_(mask, 1 - p, std::nullopt);
  return {x * mask * (p < 1 ? 1 / (1 - p) : 0), mask};
}

// torch::nn::LSTM without cuDNN uses a cell that has no CPU kernel. Order of the gates: i, f, g, o.
std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell(const at::Tensor& input, const at::Tensor& hidden,
                                                         const at::Tensor& c,
                                                         const std::optional<at::Tensor>& input_bias,
                                                         const std::optional<at::Tensor>& hidden_bias) {
  auto sum = input + hidden;
  if (input_bias && input_bias->defined()) sum = sum + *input_bias + *hidden_bias;
  const auto parts = sum.chunk(4, 1);
  const auto i = parts[0].sigmoid(), f = parts[1].sigmoid(), g = parts[2].tanh(), o = parts[3].sigmoid();
  const auto next = f * c + i * g;
  return {o * next.tanh(), next, at::cat({i, f, g, o}, 1)};
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> lstm_cell_backward(const std::optional<at::Tensor>& grad_h,
                                                                  const std::optional<at::Tensor>& grad_c,
                                                                  const at::Tensor& c, const at::Tensor& next,
                                                                  const at::Tensor& workspace, bool has_bias) {
  const auto parts = workspace.chunk(4, 1);
  const auto &i = parts[0], &f = parts[1], &g = parts[2], &o = parts[3];
  const auto zero = at::zeros_like(next);
  const auto dh = grad_h && grad_h->defined() ? *grad_h : zero;
  const auto t = next.tanh();
  const auto dc = (grad_c && grad_c->defined() ? *grad_c : zero) + dh * o * (1 - t * t);
  const auto gates =
      at::cat({dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)}, 1);
  return {gates, dc * f, has_bias ? gates.sum(0) : at::Tensor()};
}

}  // namespace

const std::set<std::string>& custom_operators() {
  static const std::set<std::string> names = {"aten::copy_.",
                                              "aten::uniform_.",
                                              "aten::normal_.",
                                              "aten::native_dropout.",
                                              "aten::bernoulli_.float",
                                              "aten::random_.from",
                                              "aten::_thnn_fused_lstm_cell.",
                                              "aten::_thnn_fused_lstm_cell_backward_impl."};
  return names;
}

void register_custom_operators(torch::Library& library) {
  library.impl("copy_", copy_);
  library.impl("uniform_", uniform_);
  library.impl("normal_", normal_);
  library.impl("bernoulli_.float", bernoulli_);
  library.impl("random_.from", random_from_);
  library.impl("native_dropout", native_dropout);
  library.impl("_thnn_fused_lstm_cell", lstm_cell);
  library.impl("_thnn_fused_lstm_cell_backward_impl", lstm_cell_backward);
  at::globalContext().setUserEnabledCuDNN(false);
}

}  // namespace emulated_gpu
