#include <torch/types.h>

#include "catch.h"
#include "hmrnn/ops/cpu/product.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;
using cpu::Product;
using cpu::ProductBackend;

TEST_CASE("products of a few rows: BLAS and packed weights equal at::mm") {
  const auto backend = GENERATE(ProductBackend::Blas, ProductBackend::Packed);
  const int64_t m = GENERATE(1, 2, 5, 13, 32, 64, 65);
  const int64_t out = GENERATE(4, 36), in = GENERATE(1, 17, 64);
  INFO("m " << m << ", out " << out << ", in " << in << ", packed " << (backend == ProductBackend::Packed));
  torch::manual_seed(3);
  const auto weight = torch::randn({out + 1, in});  // the boundary row is not part of the product
  const auto x = torch::randn({m, in}), y_grad = torch::randn({m, out});
  Product<float> product(weight.data_ptr<float>(), out, in, backend);
  const auto M = weight.narrow(0, 0, out);
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second time with what the first one packed
    auto y = torch::full({m, out}, 7.0), x_grad = torch::full({m, in}, 7.0), weight_grad = torch::ones({out, in});
    product.forward(m, x.data_ptr<float>(), y.data_ptr<float>());
    product.backward(m, y_grad.data_ptr<float>(), x_grad.data_ptr<float>());
    product.weight_gradient(m, y_grad.data_ptr<float>(), x.data_ptr<float>(), weight_grad.data_ptr<float>(), true);
    CHECK(distance(y, x.mm(M.t())) < 1e-4);
    CHECK(distance(x_grad, y_grad.mm(M)) < 1e-4);
    CHECK(distance(weight_grad, y_grad.t().mm(x) + 1) < 1e-4);
    product.weight_gradient(m, y_grad.data_ptr<float>(), x.data_ptr<float>(), weight_grad.data_ptr<float>(), false);
    CHECK(distance(weight_grad, y_grad.t().mm(x)) < 1e-4);
    product.weight_gradient(0, nullptr, nullptr, weight_grad.data_ptr<float>(), true);
    CHECK(distance(weight_grad, y_grad.t().mm(x)) < 1e-4);
    product.weight_gradient(0, nullptr, nullptr, weight_grad.data_ptr<float>(), false);
    CHECK(weight_grad.abs().max().item<float>() == 0);
  }
}

TEST_CASE("products of different numbers of rows share what is packed") {
  const auto weight = torch::randn({12, 8});
  Product<float> product(weight.data_ptr<float>(), 12, 8, ProductBackend::Packed);
  for (const int64_t m : {3, 64, 1, 17}) {
    const auto x = torch::randn({m, 8});
    auto y = torch::empty({m, 12});
    product.forward(m, x.data_ptr<float>(), y.data_ptr<float>());
    CHECK(distance(y, x.mm(weight.t())) < 1e-4);
  }
}

TEST_CASE("bfloat16 products: operands and results rounded, sums are not") {
  const int64_t m = GENERATE(1, 9, 40), out = 20, in = 33;
  const auto weight = torch::randn({out, in});
  const auto x = torch::randn({m, in}).to(torch::kBFloat16), y_grad = torch::randn({m, out}).to(torch::kBFloat16);
  Product<c10::BFloat16> product(weight.data_ptr<float>(), out, in);
  auto y = torch::empty({m, out}, torch::kBFloat16), x_grad = torch::empty({m, in}, torch::kBFloat16);
  auto weight_grad = torch::ones({out, in});
  const auto data = [](const torch::Tensor& t) { return t.data_ptr<c10::BFloat16>(); };
  product.forward(m, data(x), data(y));
  product.backward(m, data(y_grad), data(x_grad));
  product.weight_gradient(m, data(y_grad), data(x), weight_grad.data_ptr<float>(), true);
  const auto wide = [](const torch::Tensor& t) { return t.to(torch::kFloat64); };
  const auto M = wide(weight.to(torch::kBFloat16));
  // A rounded result has 8 bits of mantissa; the sums before it are float32.
  const auto close = [&](const torch::Tensor& result, const torch::Tensor& exact) {
    return ((wide(result) - exact).abs() <= exact.abs() / 256 + 1e-4).all().item<bool>();
  };
  CHECK(close(y, wide(x).mm(M.t())));
  CHECK(close(x_grad, wide(y_grad).mm(M)));
  CHECK(close(weight_grad - 1, wide(y_grad).t().mm(wide(x))));
  product.weight_gradient(m, data(y_grad), data(x), weight_grad.data_ptr<float>(), false);
  CHECK(close(weight_grad, wide(y_grad).t().mm(wide(x))));
  CHECK(distance(wide(y), wide(x).mm(weight.to(torch::kFloat64).t())) > 0);  // the weights are rounded
}
