#include <ATen/Version.h>
#include <torch/types.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/cpu_feature.h"
#include "hmrnn/ops/cpu/tile_product.h"
#include "hmrnn/ops/product_dtype.h"

using namespace hmrnn;

TEST_CASE("cell kernels: gates are those of the standard library, saturate without overflow and hand a NaN on") {
  constexpr float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> x{0, 1e-8f, -1e-8f, 0.5f, 87.4f, -87.4f, 88.8f, -88.8f, 200, -200, 1e30f, -1e30f, inf, -inf, nan};
  for (int i = -400; i <= 400; ++i) x.push_back(0.05f * static_cast<float>(i));
  const auto d = static_cast<int64_t>(x.size());  // not a multiple of the vector size
  std::vector<float> bias, gates(4 * d);
  for (int k = 0; k < 4; ++k) bias.insert(bias.end(), x.begin(), x.end());
  const std::vector<float> zeros(4 * d, 0.0f);
  cpu::Term<float> recurrent;
  recurrent.raw = zeros.data();
  cpu::cell_kernels<float>().active_gates(d, recurrent, {}, {}, bias.data(), gates.data(), nullptr);
  for (int64_t j = 0; j < d; ++j) {
    INFO("x " << x[j]);
    for (int k = 0; k < 4; ++k) {
      const float gate = gates[k * d + j];
      if (std::isnan(x[j])) {
        CHECK(std::isnan(gate));
        continue;
      }
      const double exact =
          k < 3 ? 1 / (1 + std::exp(-static_cast<double>(x[j]))) : std::tanh(static_cast<double>(x[j]));
      CHECK(std::abs(gate - exact) < (k < 3 ? 1e-6 : 2e-6));  // tanh x = 2σ(2x) - 1
    }
  }
}

TEST_CASE("the kernels that this process runs are those of its environment") {
  // ctest runs this file once for each instruction set, by these variables.
  const auto is = [](const char* name, const char* wanted) {
    const char* value = std::getenv(name);
    return value != nullptr && std::string(value) == wanted;
  };
  const auto kernels = cpu_kernels(), capability = at::get_cpu_capability();
  if (capability != "AVX512") {
    CHECK(kernels == (capability == "AVX2" ? "AVX2" : "default"));
    return;
  }
  if (!cpu::cpu_has("avx512_bf16") || is("HMRNN_AVX512_BF16", "0")) {
    CHECK(kernels == "AVX512");
    return;
  }
  // Without ATen's tile products (another LibTorch) AMX is not used.
  if (cpu::cpu_has("amx_bf16") && !is("HMRNN_AMX", "0") && cpu::has_tile_products()) {
    CHECK(kernels == "AVX512, bfloat16 by AMX");
    return;
  }
  std::ifstream cpus("/proc/cpuinfo");
  const std::string about{std::istreambuf_iterator<char>(cpus), {}};
  const auto intel = about.find(": GenuineIntel") != std::string::npos;
  const auto by_default = intel && !is("HMRNN_AVX512_BF16", "dot");
  const bool wide = by_default || is("HMRNN_AVX512_BF16", "wide");
  CHECK(kernels == (wide ? "AVX512, bfloat16 by float32 instructions" : "AVX512, bfloat16 by AVX512-BF16"));
}
