#include "bench/machine.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <malloc.h>
#include <torch/cuda.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <string>

namespace bench {

namespace {

/// A line of /proc/self/status such as "VmHWM:", in bytes; -1 if it does not exist.
int64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == name && status >> kilobytes) return kilobytes * 1024;
  }
  return -1;
}

/// Seconds that oneDNN takes for a b, the best of several runs. torch::nn::LSTM uses it, and it may be faster than MKL,
/// which does not use AVX-512 on AMD CPUs. Infinite without oneDNN.
double one_dnn_seconds(const torch::Tensor& a, const torch::Tensor& b) {
  using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  double best = std::numeric_limits<double>::infinity();
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found) return best;
  const auto linear = found->typed<Linear>();
  const auto weight = b.t().contiguous();
  const c10::InferenceMode no_autograd;
  const auto product = [&] {
    linear.call(a, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
  };
  try {
    for (int i = 0; i < 8; ++i) best = std::min(best, seconds(product, torch::kCPU));
  } catch (const c10::Error&) {  // bfloat16 on a CPU without AVX-512
  }
  return best;
}

}  // namespace

double gemm_ceiling(torch::ScalarType dtype, torch::Device device) {
  constexpr int64_t m = 6400, k = 512, n = 2048;
  const auto a = torch::randn({m, k}).to(device, dtype);
  const auto b = torch::randn({k, n}).to(device, dtype);
  auto c = torch::empty({m, n}, torch::TensorOptions(device).dtype(dtype));
  // On a GPU one product takes less time than its launch: time as many as take some ten milliseconds.
  int in_a_row = 1;
  const auto products = [&] {
    for (int i = 0; i < in_a_row; ++i) at::mm_out(c, a, b);
  };
  if (device.is_cuda()) {
    seconds(products, device);  // the first run includes initialisation
    in_a_row = std::clamp(static_cast<int>(0.01 / seconds(products, device)), 1, 200);
  }
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 8; ++i) best = std::min(best, seconds(products, device));
  if (device.is_cpu()) best = std::min(best, one_dnn_seconds(a, b));
  return 2e-9 * in_a_row * m * k * n / best;
}

std::optional<int64_t> peak_memory(const std::function<void()>& work, torch::Device device) {
  if (device.is_cuda()) {
    auto* allocator = c10::getDeviceAllocator(device.type());
    const auto index = device.has_index() ? device.index() : c10::DeviceIndex{0};
    constexpr auto all = static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE);
    allocator->resetPeakStats(index);
    const auto before = allocator->getDeviceStats(index).allocated_bytes[all].current;
    work();
    return allocator->getDeviceStats(index).allocated_bytes[all].peak - before;
  }
  malloc_trim(0);  // memory that earlier work left in the allocator would hide the need of this work
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // resets VmHWM to the current VmRSS
  const bool can_reset = reset.good();
  const auto before = status_bytes("VmRSS:");
  work();
  const auto peak = status_bytes("VmHWM:");
  if (!can_reset || before < 0 || peak < 0) return std::nullopt;
  return std::max<int64_t>(0, peak - before);
}

double seconds(const std::function<void()>& work, torch::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.has_index() ? device.index() : 0);
  const auto start = std::chrono::steady_clock::now();
  work();
  if (device.is_cuda()) torch::cuda::synchronize(device.has_index() ? device.index() : 0);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace bench
