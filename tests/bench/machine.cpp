#include "bench/machine.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <malloc.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <string>

namespace bench {

namespace {

/// A line of /proc/self/status such as "VmHWM:", in bytes; -1 where there is none.
int64_t status_bytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == name && status >> kilobytes) return kilobytes * 1024;
  }
  return -1;
}

}  // namespace

double gemm_ceiling(torch::ScalarType dtype) {
  constexpr int64_t m = 6400, k = 512, n = 2048;
  const auto a = torch::randn({m, k}).to(dtype);
  const auto b = torch::randn({k, n}).to(dtype);
  auto c = torch::empty({m, n}, dtype);
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 8; ++i) best = std::min(best, seconds([&] { at::mm_out(c, a, b); }));
  // oneDNN, which torch::nn::LSTM runs on, may be the faster one: MKL uses no AVX-512 on AMD's CPUs.
  using Linear = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  if (const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""})) {
    const auto linear = found->typed<Linear>();
    const auto weight = b.t().contiguous();
    const c10::InferenceMode no_autograd;
    try {
      for (int i = 0; i < 8; ++i) {
        best = std::min(best, seconds([&] {
                          linear.call(a, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
                        }));
      }
    } catch (const c10::Error&) {  // bfloat16 on a CPU without AVX-512
    }
  }
  return 2e-9 * m * k * n / best;
}

std::optional<int64_t> peak_memory(const std::function<void()>& work) {
  malloc_trim(0);  // what earlier work left in the allocator would hide what this work needs
  std::ofstream reset("/proc/self/clear_refs");
  reset << "5" << std::flush;  // VmHWM falls to the present VmRSS
  const bool can_reset = reset.good();
  const auto before = status_bytes("VmRSS:");
  work();
  const auto peak = status_bytes("VmHWM:");
  if (!can_reset || before < 0 || peak < 0) return std::nullopt;
  return std::max<int64_t>(0, peak - before);
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace bench
