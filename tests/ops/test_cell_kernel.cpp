#include <torch/types.h>

#include <cmath>
#include <limits>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/cell_kernel.h"

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
