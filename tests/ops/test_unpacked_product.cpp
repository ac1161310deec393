#include <ATen/Parallel.h>
#include <torch/types.h>

#include <vector>

#include "catch.h"
#include "hmrnn/ops/cpu/unpacked_product.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

/// x · matrixᵀ for rows of x and of the result in the reverse order and with gaps, so that no order is assumed.
template <class T>
torch::Tensor multiply_scattered(const torch::Tensor& matrix, const torch::Tensor& x) {
  const auto rows = matrix.size(0), n = matrix.size(1), m = x.size(0);
  const auto scattered = torch::full({m, n + 3}, std::nan(""), x.options());
  auto y = torch::full({m, rows + 5}, std::nan(""), x.options());
  std::vector<const T*> from;
  std::vector<T*> to;
  for (int64_t i = 0; i < m; ++i) {
    scattered[m - 1 - i].narrow(0, 0, n).copy_(x[i]);
    from.push_back(scattered[m - 1 - i].template const_data_ptr<T>());
    to.push_back(y[m - 1 - i].template data_ptr<T>());
  }
  const cpu::UnpackedProduct<T> product[] = {{rows, n, matrix.const_data_ptr<T>(), m, from.data(), to.data()}};
  cpu::multiply<T>(product);
  CHECK(torch::isnan(y.narrow(1, rows, 5)).all().template item<bool>());  // nothing is written beyond the rows' ends
  return y.narrow(1, 0, rows).flip(0).contiguous();
}

template <class T>
torch::Tensor check_product(int64_t rows, int64_t n, int64_t m, double bound) {
  const auto type = c10::CppTypeToScalarType<T>::value;
  torch::manual_seed(rows * 1000 + n);
  const auto matrix = torch::randn({rows, n}, type), x = torch::randn({67, n}, type).narrow(0, 0, m);
  const auto y = multiply_scattered<T>(matrix, x);
  const auto expected = x.to(torch::kFloat64).matmul(matrix.to(torch::kFloat64).t());
  REQUIRE(distance(y.to(torch::kFloat64), expected) < bound * std::sqrt(static_cast<double>(n)));
  return y;
}

}  // namespace

TEST_CASE("products with a matrix that is not packed: a row has the same bits in any number of rows") {
  for (const int64_t rows : {1, 3, 4, 7, 8, 12, 17, 132}) {
    for (const int64_t n : {1, 5, 8, 31, 64, 129}) {
      const auto all = check_product<float>(rows, n, 67, 1e-5);
      const auto wide = check_product<double>(rows, n, 67, 1e-14);
      for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 13}) {
        INFO(rows << " rows, n " << n << ", m " << m);
        REQUIRE(same(check_product<float>(rows, n, m, 1e-5), all.narrow(0, 0, m)));
        REQUIRE(same(check_product<double>(rows, n, m, 1e-14), wide.narrow(0, 0, m)));
      }
    }
  }
}

TEST_CASE("products with a matrix that is not packed: the same bits on any number of threads") {
  const auto before = at::get_num_threads();
  for (const int64_t rows : {515, 2048}) {
    at::set_num_threads(1);
    const auto one = check_product<float>(rows, 129, 9, 1e-5);
    for (const int threads : {2, 3, 7}) {
      at::set_num_threads(threads);
      CHECK(same(check_product<float>(rows, 129, 9, 1e-5), one));
    }
  }
  at::set_num_threads(before);
}
