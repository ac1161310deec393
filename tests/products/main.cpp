// hmrnn_products: PackedMatrix (ops/cpu/row_product.h) against ATen's brgemm, which is oneDNN's, with one thread:
//   m rows of k values × [k, 4k], as a layer of k units makes them
// brgemm takes rows one after another and weights in panels [k, width] that were packed before; our products take rows
// at any addresses.
//
//   hmrnn_products [K …]     default: 128 256 512; each a multiple of 32
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "hmrnn/ops/cpu/row_product.h"

namespace {

constexpr int kRounds = 15;
constexpr int64_t kMultiplications = 60'000'000;  ///< of one timing

template <class Work>
double seconds(Work work, int64_t repeats) {
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < repeats; ++i) work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / static_cast<double>(repeats);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void compare(int64_t m, int64_t k) {
  const int64_t n = 4 * k;
  const auto weight = torch::randn({n, k}), x = torch::randn({m, k});
  auto own = torch::zeros({m, n}), other = torch::zeros({m, n});
  hmrnn::cpu::PackedMatrix<float> packed(k, n);
  packed.pack(weight.data_ptr<float>(), k, /*transposed=*/true);
  std::vector<const float*> rows;
  for (int64_t i = 0; i < m; ++i) rows.push_back(x.data_ptr<float>() + i * k);
  const std::vector<int64_t> widths{16, 32, 64, 128, n};
  std::vector<torch::Tensor> panels;
  for (const auto width : widths) {
    panels.push_back(weight.t().contiguous().view({k, n / width, width}).transpose(0, 1).contiguous());
  }
  const int64_t repeats = std::max<int64_t>(1, kMultiplications / (m * k * n));
  std::vector<double> times;
  std::vector<std::vector<double>> their_times(widths.size());
  for (int round = 0; round < kRounds; ++round) {
    times.push_back(seconds([&] { packed.forward(m, rows.data(), own.data_ptr<float>(), n, {}); }, repeats));
    for (size_t j = 0; j < widths.size(); ++j) {
      const auto width = widths[j];
      const auto multiply = [&] {
        for (int64_t p = 0; p < n / width; ++p) {
          at::native::cpublas::brgemm(m, width, k, k, width, n, false, x.data_ptr<float>(),
                                      panels[j].data_ptr<float>() + p * k * width, other.data_ptr<float>() + p * width,
                                      false);
        }
      };
      their_times[j].push_back(seconds(multiply, repeats));
    }
  }
  const double flop = 2e-9 * static_cast<double>(m * k * n), speed = flop / median(times);
  double best = 0;
  fmt::print("{:3} {:4} {:5} {:8.1f}", m, k, n, speed);
  for (const auto& each : their_times) {
    best = std::max(best, flop / median(each));
    fmt::print(" {:8.1f}", flop / median(each));
  }
  fmt::print(" {:8.2f} {:10.1e}\n", speed / best, (own - other).abs().max().item<double>());
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  if (hmrnn::cpu::row_product_kernels<float>().width == 0) {
    fmt::print("this CPU has no products of ours\n");
    return 0;
  }
  fmt::print("  m    k     n     ours brgemm16 brgemm32 brgemm64 brgem128  brgemmN    ratio difference\n");
  std::vector<int64_t> depths;
  for (int i = 1; i < argc; ++i) depths.push_back(std::stoll(argv[i]));
  if (depths.empty()) depths = {128, 256, 512};
  for (const int64_t k : depths) {
    for (const int64_t m : {1, 4, 8, 16, 32, 64}) compare(m, k);
  }
}
