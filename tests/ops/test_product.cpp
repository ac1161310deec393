#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <iostream>
#include <limits>
#include <utility>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/weight_gradient.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;
using cpu::Product;
using cpu::ProductBackend;

namespace {

/// y = x · Mᵀ for the rows of x.
template <class P>
void forward(Product<P>& product, const torch::Tensor& x, const torch::Tensor& y) {
  std::vector<const P*> rows;
  for (int64_t i = 0; i < x.size(0); ++i) rows.push_back(x.data_ptr<P>() + i * x.size(1));
  product.forward(x.size(0), rows.data(), y.data_ptr<P>(), y.size(1));
}

}  // namespace

TEST_CASE("products of rows: every backend equals at::mm, wherever the rows lie") {
  const auto backend = GENERATE(ProductBackend::Blas, ProductBackend::Rows);
  const int64_t m = GENERATE(1, 2, 5, 7, 13, 32, 64, 65, 150, 1300);
  const auto [out, in] = GENERATE(std::pair{4, 1}, std::pair{36, 17}, std::pair{64, 64}, std::pair{300, 700},
                                  std::pair{5, 9001}, std::pair{9001, 5});  // several blocks of a panel
  if (std::max(in, out) > 9000 && m > 65) return;
  INFO("m " << m << ", out " << out << ", in " << in << ", rows " << (backend == ProductBackend::Rows));
  torch::manual_seed(3);
  const auto weight = torch::randn({out + 1, in});  // the boundary row is not part of the product
  const auto x = torch::randn({m, in}), y_grad = torch::randn({m, out});
  Product<float> product(weight.data_ptr<float>(), out, in, backend);
  const auto M = weight.narrow(0, 0, out);
  // float32 sums of that many terms of size about 1.
  const double bound = 1e-6 * static_cast<double>(std::max({int64_t{in}, int64_t{out}, m})) + 1e-5;
  for (int repeat = 0; repeat < 2; ++repeat) {  // the second time with the weights packed by the first
    auto y = torch::full({m, out}, 7.0), x_grad = torch::full({m, in}, 7.0), weight_grad = torch::ones({out, in});
    forward(product, x, y);
    product.backward(m, y_grad.data_ptr<float>(), out, x_grad.data_ptr<float>());
    product.weight_gradient(m, y_grad.data_ptr<float>(), x.data_ptr<float>(), weight_grad.data_ptr<float>());
    CHECK(distance(y, x.mm(M.t())) < bound);
    CHECK(distance(x_grad, y_grad.mm(M)) < bound);
    CHECK(distance(weight_grad, y_grad.t().mm(x)) < bound);
    product.weight_gradient(0, nullptr, static_cast<const float*>(nullptr), weight_grad.data_ptr<float>());
    CHECK(weight_grad.abs().max().item<float>() == 0);

    // Rows in random order, among others that must not be read or written.
    const auto order = torch::randperm(2 * m).narrow(0, 0, m);
    const auto among = torch::full({2 * m, in}, std::numeric_limits<float>::quiet_NaN()).index_copy(0, order, x);
    const auto before = torch::randn({2 * m, in});
    auto to = before.clone();
    std::vector<const float*> from_rows;
    std::vector<float*> to_rows;
    for (int64_t i = 0; i < m; ++i) {
      from_rows.push_back(among.data_ptr<float>() + order[i].item<int64_t>() * in);
      to_rows.push_back(to.data_ptr<float>() + order[i].item<int64_t>() * in);
    }
    product.forward(m, from_rows.data(), y.data_ptr<float>(), out);
    CHECK(distance(y, x.mm(M.t())) < bound);
    const auto back = [&](bool add) {
      const Product<float>::Backward products[] = {{&product, m, y_grad.data_ptr<float>(), out, to_rows.data(), add},
                                                   {&product, 0, nullptr, 0, nullptr, false}};
      Product<float>::backward(products);
    };
    back(/*add=*/true);
    CHECK(distance(to, before.index_add(0, order, y_grad.mm(M))) < bound);
    torch::Tensor memory;
    product.reserve_gradient(m, memory);
    product.weight_gradient(m, y_grad.data_ptr<float>(), out, from_rows.data(), weight_grad.data_ptr<float>(),
                            /*add=*/false, memory);
    CHECK(distance(weight_grad, y_grad.t().mm(x)) < bound);
    product.weight_gradient(m, y_grad.data_ptr<float>(), out, from_rows.data(), weight_grad.data_ptr<float>(),
                            /*add=*/true, memory);
    CHECK(distance(weight_grad, 2 * y_grad.t().mm(x)) < 2 * bound);
    product.weight_gradient(0, nullptr, out, static_cast<const float* const*>(nullptr), weight_grad.data_ptr<float>(),
                            /*add=*/true, memory);
    CHECK(distance(weight_grad, 2 * y_grad.t().mm(x)) < 2 * bound);
    back(/*add=*/false);
    CHECK(distance(to, before.index_copy(0, order, y_grad.mm(M))) < bound);
  }
}

TEST_CASE("products of different numbers of rows share what is packed") {
  const auto weight = torch::randn({12, 8});
  Product<float> product(weight.data_ptr<float>(), 12, 8, ProductBackend::Rows);
  for (const int64_t m : {3, 64, 1, 17}) {
    const auto x = torch::randn({m, 8});
    auto y = torch::empty({m, 12});
    forward(product, x, y);
    CHECK(distance(y, x.mm(weight.t())) < 1e-4);
  }
}

TEST_CASE("products made together: each by its own backend, those of no rows left out, packed weights passed on") {
  const auto a = torch::randn({70, 24}), b = torch::randn({40, 24}), x = torch::randn({9, 24}),
             dy = torch::randn({9, 40});
  Product<float> first(a.data_ptr<float>(), 70, 24, ProductBackend::Rows);
  Product<float> second(b.data_ptr<float>(), 40, 24, ProductBackend::Blas);
  Product<float> third(b.data_ptr<float>(), 40, 24, ProductBackend::Rows);
  std::vector<const float*> rows;
  for (int64_t i = 8; i >= 0; --i) rows.push_back(x.data_ptr<float>() + i * 24);
  auto y1 = torch::empty({9, 70}), y2 = torch::empty({4, 40}), dx2 = torch::empty({9, 24}), dx3 = torch::zeros({9, 24});
  const Product<float>::Forward forward[] = {{&first, 9, rows.data(), y1.data_ptr<float>(), 70},
                                             {&third, 0, nullptr, nullptr, 0},
                                             {&second, 4, rows.data(), y2.data_ptr<float>(), 40}};
  Product<float>::forward(forward);
  CHECK(distance(y1, x.flip(0).mm(a.t())) < 1e-4);
  CHECK(distance(y2, x.flip(0).narrow(0, 0, 4).mm(b.t())) < 1e-4);
  std::vector<float*> to2, to3;
  for (int64_t i = 0; i < 9; ++i) {
    to2.push_back(dx2.data_ptr<float>() + i * 24);
    to3.push_back(dx3.data_ptr<float>() + i * 24);
  }
  const Product<float>::Backward backward[] = {{&second, 9, dy.data_ptr<float>(), 40, to2.data(), /*add=*/false},
                                               {&third, 9, dy.data_ptr<float>(), 40, to3.data(), /*add=*/true}};
  Product<float>::backward(backward);
  CHECK(distance(dx2, dy.mm(b)) < 1e-4);
  CHECK(distance(dx3, dy.mm(b)) < 1e-4);

  CHECK(second.packed().numel() == 0);
  if (cpu::choose_backend<float>() != ProductBackend::Rows) {
    std::cout << "skipped: this backend packs nothing" << std::endl;
    return;
  }
  // `reuse` multiplies with the given packed weights: the result is that of `first`, not of the zero matrix.
  auto zeros = torch::zeros({70, 24});
  Product<float> other(zeros.data_ptr<float>(), 70, 24, ProductBackend::Rows);
  other.reuse(first.packed());
  auto again = torch::empty({9, 70});
  other.forward(9, rows.data(), again.data_ptr<float>(), 70);
  CHECK(same(again, y1));
}

TEST_CASE("products are the same bits on one thread and on two") {
  const int64_t m = 37, out = 512, in = 130;
  const auto weight = torch::randn({out, in}), x = torch::randn({m, in});
  const auto multiply = [&](int threads) {
    at::set_num_threads(threads);
    Product<float> product(weight.data_ptr<float>(), out, in, ProductBackend::Rows);
    auto y = torch::empty({m, out});
    forward(product, x, y);
    return y;
  };
  const int before = at::get_num_threads();
  CHECK(same(multiply(1), multiply(2)));
  at::set_num_threads(before);
}

TEST_CASE("bfloat16 products: operands and results rounded, sums are not") {
  const auto backend = GENERATE(ProductBackend::Blas, ProductBackend::OneDnn, ProductBackend::Rows);
  const int64_t m = GENERATE(1, 9, 40);
  const auto [out, in] = GENERATE(std::pair{20, 33}, std::pair{320, 128}, std::pair{9, 1100}, std::pair{9, 4101},
                                  std::pair{4101, 9});  // three blocks of a panel, with half a pair
  INFO("m " << m << ", out " << out << ", in " << in << ", backend " << static_cast<int>(backend));
  torch::manual_seed(4);
  const auto weight = torch::randn({out, in});
  const auto x = torch::randn({m, in}).to(torch::kBFloat16), y_grad = torch::randn({m, out}).to(torch::kBFloat16);
  Product<c10::BFloat16> product(weight.data_ptr<float>(), out, in, backend);
  auto y = torch::empty({m, out}, torch::kBFloat16);
  auto x_grad = torch::empty({m, in}), weight_grad = torch::ones({out, in});
  const auto data = [](const torch::Tensor& t) { return t.data_ptr<c10::BFloat16>(); };
  forward(product, x, y);
  product.backward(m, data(y_grad), out, x_grad.data_ptr<float>());
  product.weight_gradient(m, data(y_grad), data(x), weight_grad.data_ptr<float>());
  const auto wide = [](const torch::Tensor& t) { return t.to(torch::kFloat64); };
  const auto M = wide(weight.to(torch::kBFloat16));
  // A rounded result has 8 bits of mantissa; the sums before are float32, of up to 1100 terms, or 4101.
  const double sums = std::max(in, out) > 4000 ? 2e-3 : std::max(in, out) > 64 ? 4e-4 : 1e-4;
  const auto close = [&](const torch::Tensor& result, const torch::Tensor& exact) {
    return ((wide(result) - exact).abs() <= exact.abs() / 256 + sums).all().item<bool>();
  };
  CHECK(close(y, wide(x).mm(M.t())));
  CHECK(close(x_grad, wide(y_grad).mm(M)));
  CHECK(close(weight_grad, wide(y_grad).t().mm(wide(x))));
  if (backend == ProductBackend::Rows && cpu::choose_backend<c10::BFloat16>() == ProductBackend::Rows) {
    CHECK(distance(wide(x_grad), wide(y_grad).mm(M)) < sums);  // not rounded in between
  }
  CHECK(distance(wide(y), wide(x).mm(weight.to(torch::kFloat64).t())) > 0);  // the weights are rounded
}

TEST_CASE("bfloat16 products of rows wherever they lie: the same bits as in order, on one thread and on two") {
  using P = c10::BFloat16;
  const int64_t m = GENERATE(1, 2, 7, 64, 65, 150);
  const auto [out, in] = GENERATE(std::pair{36, 17}, std::pair{64, 64}, std::pair{70, 98}, std::pair{300, 512});
  const bool onednn = GENERATE(true, false);  // brgemm, of CPUs with AMX, is oneDNN's
  INFO("m " << m << ", out " << out << ", in " << in << ", oneDNN " << onednn);
  torch::manual_seed(5);
  const auto weight = torch::randn({out, in});
  const auto x = torch::randn({m, in}).to(torch::kBFloat16), y_grad = torch::randn({m, out}).to(torch::kBFloat16);
  const auto M = weight.to(torch::kBFloat16).to(torch::kFloat);
  const auto x_grad = y_grad.to(torch::kFloat).mm(M),
             weight_grad = y_grad.t().to(torch::kFloat).mm(x.to(torch::kFloat));
  const bool enabled = at::globalContext().userEnabledMkldnn();
  const int threads = at::get_num_threads();
  const bool rounded = cpu::choose_backend<P>() != ProductBackend::Rows;  // a BLAS rounds every result
  Product<P> product(weight.data_ptr<float>(), out, in, ProductBackend::Rows);
  auto in_order = torch::empty({m, out}, torch::kBFloat16);
  forward(product, x, in_order);
  // In random order, descending, or each second: among rows that must be neither read nor written.
  for (const auto& order :
       {torch::randperm(2 * m).narrow(0, 0, m), torch::arange(2 * m - 1, m - 1, -1), torch::arange(0, 2 * m, 2)}) {
    const auto nan = std::numeric_limits<float>::quiet_NaN();
    const auto among = torch::full({2 * m, in}, nan, torch::kBFloat16).index_copy(0, order, x);
    const auto before = torch::randn({2 * m, in});
    std::vector<const P*> from_rows;
    for (int64_t i = 0; i < m; ++i) from_rows.push_back(among.data_ptr<P>() + order[i].item<int64_t>() * in);
    at::globalContext().setUserEnabledMkldnn(onednn);
    for (const int count : {1, 2}) {
      at::set_num_threads(count);
      auto y = torch::empty({m, out}, torch::kBFloat16);
      product.forward(m, from_rows.data(), y.data_ptr<P>(), out);
      if (onednn && !rounded) CHECK(same(y, in_order));
      CHECK(distance(y.to(torch::kFloat), in_order.to(torch::kFloat)) <= 0.5);  // one bit of a sum of up to 100
      auto to = before.clone(), gradient = torch::ones({out, in});
      std::vector<float*> to_rows;
      for (int64_t i = 0; i < m; ++i) to_rows.push_back(to.data_ptr<float>() + order[i].item<int64_t>() * in);
      const Product<P>::Backward backward{&product, m, y_grad.data_ptr<P>(), out, to_rows.data(), /*add=*/true};
      Product<P>::backward({&backward, 1});
      torch::Tensor memory;
      product.reserve_gradient(m, memory);
      product.weight_gradient(m, y_grad.data_ptr<P>(), out, from_rows.data(), gradient.data_ptr<float>(),
                              /*add=*/true, memory);
      at::globalContext().setUserEnabledMkldnn(enabled);
      CHECK(distance(to, before.index_add(0, order, x_grad)) < (rounded ? 0.5 : 1e-3));
      CHECK(distance(gradient, weight_grad + 1) < (rounded ? 0.5 : 1e-3));
      at::globalContext().setUserEnabledMkldnn(onednn);
    }
    at::globalContext().setUserEnabledMkldnn(enabled);
    at::set_num_threads(threads);
  }
}

TEST_CASE("a weight gradient of rows that come a few at a time is that of all rows at once") {
  const int64_t out = 36, in = 17, m = GENERATE(0, 1, 50);
  const auto backend = GENERATE(ProductBackend::Blas, ProductBackend::Rows);
  const auto weight = torch::randn({out, in}), y_grad = torch::randn({m, out}), x = torch::randn({m, in});
  Product<float> product(weight.data_ptr<float>(), out, in, backend);
  auto gradient = torch::full({out + 1, in}, 7.0);  // of a matrix with a boundary row
  torch::Tensor memory;
  // Multiplies whenever more than 7 steps have been collected.
  cpu::WeightGradient<float> sum(product, gradient, /*total=*/m, /*most=*/7, memory, /*bytes=*/0);
  for (int64_t first = 0, n = 3; first < m; first += n, n = n % 7 + 1) {  // 3, 4, … 7, 1, 2, …
    n = std::min(n, m - first);
    float* to = sum.next(n);
    for (int64_t i = 0; i < n; ++i) {
      std::copy_n(y_grad[first + i].data_ptr<float>(), out, to + i * sum.stride());
      sum.push(x[first + i].data_ptr<float>());
    }
  }
  sum.finish();
  CHECK(distance(gradient.narrow(0, 0, out), y_grad.t().mm(x)) < 1e-4);
  CHECK(gradient[out].eq(7).all().item<bool>());
}
