// Products of one panel with AMX (ops/cpu/tile_product.h). Whole products are in test_product.cpp.
#include <ATen/Context.h>
#include <torch/types.h>

#include <iostream>

#include "catch.h"
#include "hmrnn/ops/cpu/tile_product.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("a product of rows with a panel of pairs, with AMX") {
  if (!cpu::has_tile_products()) {
    std::cout << "skipped: this CPU has no AMX" << std::endl;
    return;
  }
  const int64_t m = GENERATE(1, 15, 16, 33, 64), k = cpu::kTileDepth * GENERATE(1, 3, 16);
  const int64_t stride = k + GENERATE(0, 32), width = 64;
  INFO("m " << m << ", k " << k << ", stride " << stride);
  torch::manual_seed(6);
  const auto x = torch::randn({m, stride}).to(torch::kBFloat16), b = torch::randn({k, width}).to(torch::kBFloat16);
  const auto panel = b.view({k / 2, 2, width}).transpose(1, 2).contiguous();
  auto sums = torch::full({m + 1, width}, 7.0);
  using P = c10::BFloat16;
  cpu::tile_product(m, k, x.data_ptr<P>(), stride, panel.data_ptr<P>(), width, sums.data_ptr<float>());
  cpu::end_tile_products();
  const auto exact = x.narrow(1, 0, k).to(torch::kFloat64).mm(b.to(torch::kFloat64));
  CHECK(distance(sums.narrow(0, 0, m).to(torch::kFloat64), exact) < 1e-3);  // sums are float, of up to 512 terms
  CHECK(same(sums[m], torch::full({width}, 7.0)));                          // nothing is written behind them
}

TEST_CASE("tiles are not used while oneDNN is switched off") {
  const bool enabled = at::globalContext().userEnabledMkldnn();
  at::globalContext().setUserEnabledMkldnn(false);
  const bool off = cpu::tile_products_enabled();
  at::globalContext().setUserEnabledMkldnn(true);
  const bool on = cpu::tile_products_enabled();
  at::globalContext().setUserEnabledMkldnn(enabled);
  CHECK(on);
  CHECK(!off);
}
