#include "hmrnn/ops/cpu/unpacked_product.h"

#include "hmrnn/ops/cpu/thread_team.h"

namespace hmrnn::cpu {

template <class T>
void multiply(std::span<const UnpackedProduct<T>> products) {
  constexpr int64_t block = 8;  // rows of M that the kernel multiplies together
  const auto& kernels = unpacked_product_kernels<T>();
  int64_t work = 0;
  for (const auto& p : products) work += p.rows * p.n * p.m;
  const int64_t count = std::min(usable_threads(), work / kWorthAThread);
  if (count < 2) {
    for (const auto& p : products) {
      if (p.m > 0) kernels.multiply(p, 0, p.rows);
    }
    return;
  }
  for_parts(count, [&](int64_t i) {
    for (const auto& p : products) {
      const int64_t blocks = (p.rows + block - 1) / block;
      if (p.m == 0) continue;
      kernels.multiply(p, blocks * i / count * block, std::min(p.rows, blocks * (i + 1) / count * block));
    }
  });
}

template void multiply(std::span<const UnpackedProduct<float>>);
template void multiply(std::span<const UnpackedProduct<double>>);

}  // namespace hmrnn::cpu
