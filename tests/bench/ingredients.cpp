#include "bench/ingredients.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <ATen/ops/cudnn_is_acceptable.h>

#include "hmrnn/ops/cuda_persistent.h"

namespace bench {

std::vector<Rates> rates_on(torch::Device device) {
  // The GPU operator computes every step, so the rates make no difference.
  if (device.is_cuda()) return {kRates[0]};
  return {std::begin(kRates), std::end(kRates)};
}

std::vector<torch::ScalarType> dtypes(bool bfloat16) {
  if (bfloat16) return {torch::kFloat32, torch::kBFloat16};
  return {torch::kFloat32};
}

std::optional<torch::ScalarType> product_dtype(torch::ScalarType dtype) {
  return dtype == torch::kFloat32 ? std::nullopt : std::make_optional(dtype);
}

torch::Tensor draw_boundaries(int64_t steps, int64_t batch, const Rates& rates) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto noise = torch::rand({steps, batch, kLayers - 1}, generator, torch::kFloat32);
  return (noise < torch::tensor({rates[0], rates[1]}, torch::kFloat32)).to(torch::kFloat32);
}

torch::nn::LSTM plain_lstm(int64_t units, torch::ScalarType dtype, torch::Device device) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(kInput, units).num_layers(kLayers));
  lstm->to(device, dtype);
  return lstm;
}

std::string backend_of_lstm(torch::ScalarType dtype, torch::Device device) {
  if (!device.is_cuda()) return {};
  const bool acceptable = at::cudnn_is_acceptable(torch::zeros({1}, torch::TensorOptions(device).dtype(dtype))) &&
                          (dtype != torch::kBFloat16 || at::detail::getCUDAHooks().supportsBFloat16RNNWithCuDNN());
  return acceptable ? "cuDNN" : "ATen";
}

void add_with_launches(std::vector<Contestant>& group, const Contestant& contestant, bool persistent) {
  group.push_back(contestant);
  if (!contestant.device.is_cuda()) return;
  group.back().launch = "launches";
  group.push_back(contestant);
  group.back().use_graph();
  if (!persistent || contestant.dtype != torch::kBFloat16) return;
  auto whole = contestant;
  whole.run = [run = contestant.run] {
    hmrnn::set_cuda_persistent(true);
    run();
    hmrnn::set_cuda_persistent(false);
  };
  const auto before = hmrnn::cuda_persistent_windows();
  whole.run();
  if (hmrnn::cuda_persistent_windows() == before) return;  // the window does not fit
  whole.use_graph();
  whole.launch = "persistent";
  group.push_back(whole);
}

}  // namespace bench
