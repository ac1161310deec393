#pragma once

#include <cstdint>
#include <span>

namespace hmrnn::cpu {

/// Products of a matrix M [rows, n], row-major as parameters are, with m rows at any addresses: y_i [rows] = M · x_i.
/// Unlike those of row_product.h they need no packed copy of M, so that any number of streams share the parameters'
/// memory. Every value is summed in the same order for any m and any number of threads, so that a row gets the same
/// bits alone and among others. With one row a product takes as long as reading M; with many rows it is as fast as the
/// packed products except for the sums over a vector's lanes (a tenth at n = 512).
template <class T>
struct UnpackedProduct {
  int64_t rows, n;
  const T* matrix;
  int64_t m;
  const T* const* x;
  T* const* y;
};

/// Compiled for one instruction set; T is float or double.
template <class T>
struct UnpackedProductKernels {
  /// Rows [begin, end) of M: y_i[begin, end) for all i.
  void (*multiply)(const UnpackedProduct<T>& product, int64_t begin, int64_t end) = nullptr;
};

struct AllUnpackedProductKernels {
  UnpackedProductKernels<float> float32;
  UnpackedProductKernels<double> float64;
};

/// The kernels for this machine's CPU.
template <class T>
const UnpackedProductKernels<T>& unpacked_product_kernels();

/// So many multiplications are worth a further thread.
inline constexpr int64_t kWorthAThread = 1 << 17;

/// Computes all products, with as many threads as the work justifies, which share the rows of each M. None may write
/// what another one reads or writes.
template <class T>
void multiply(std::span<const UnpackedProduct<T>> products);

}  // namespace hmrnn::cpu
