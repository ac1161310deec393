#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "hmrnn/ops/cpu/row_product.h"

namespace hmrnn::cpu {

/// Implementation of a product: the BLAS (for bfloat16 at::mm), oneDNN with weights that it packed before (bfloat16),
/// or our own products of rows at any addresses (row_product.h).
enum class ProductBackend { Blas, OneDnn, Rows };

/// The fastest for P on this CPU: Rows where there is a kernel for it (float32: AVX2, AVX-512; bfloat16: AVX512-BF16,
/// AMX), else OneDnn for bfloat16 where oneDNN supports it, else Blas. The same choice in every run.
template <class P>
ProductBackend choose_backend();

/// Calls work() with a ThreadTeam where the products of P are our own. (A BLAS within a parallel region has one
/// thread.)
template <class P, class Work>
void with_product_team(Work work) {
  choose_backend<P>() == ProductBackend::Rows ? with_team(work) : work();
}

/// The stride, in values, of rows of `n` values of P that many products or row functions read: padded by one cache
/// line, since a cache can keep only a few rows whose addresses are a power of two apart.
template <class P>
constexpr int64_t row_stride(int64_t n) {
  return n + 64 / static_cast<int64_t>(sizeof(P));
}

/// One weight matrix M [out, in] of the window, multiplied with a few rows at a time, forwards and backwards, by all
/// threads. P is the type of the operands and of forward's results; sums are computed in Wide<P>. To be used by one
/// thread at a time.
template <class P>
class Product {
 public:
  /// `weight`: the first `out` rows of a contiguous [R, in] matrix, which has to outlive this; rounded for bfloat16.
  /// `backend`: instead of the fastest one; one that this CPU or LibTorch lacks becomes Blas.
  Product(const Wide<P>* weight, int64_t out, int64_t in, std::optional<ProductBackend> backend = std::nullopt);

  /// Allocates the memory into which forward, or backward, packs the weights at its first product.
  void reserve_forward() { reserve(/*transposed=*/false); }
  void reserve_backward() { reserve(/*transposed=*/true); }
  /// Packs them now, instead of at the first product.
  void pack_forward() { pack(/*transposed=*/false); }
  void pack_backward() { pack(/*transposed=*/true); }
  /// Another product of the same weights, to be used by another thread: it shares what has been packed.
  Product beside() const;
  /// What forward has packed so far, for the reuse() of a product of the same weights; may be empty.
  at::Tensor packed() const;
  void reuse(const at::Tensor& packed);

  int64_t out() const { return out_; }
  int64_t in() const { return in_; }

  /// One of several products: y [m, out] = x · Mᵀ for rows x_i [in] at any addresses; rows of y are `stride` values
  /// apart
  struct Forward {
    Product* matrix;
    int64_t m;
    const P* const* x;
    P* y;
    int64_t stride;
  };
  /// One of several: rows x_grad_i [in] = y_grad [m, out] · M at any addresses; added to what is there if `add`; rows
  /// of y_grad are `stride` values apart
  struct Backward {
    Product* matrix;
    int64_t m;
    const P* y_grad;
    int64_t stride;
    Wide<P>* const* x_grad;
    bool add;
  };
  /// Computes all products; threads do not wait for each other between them. None may write what another one reads or
  /// writes.
  static void forward(std::span<const Forward> products);
  static void backward(std::span<const Backward> products);

  /// One product
  void forward(int64_t m, const P* const* x, P* y, int64_t stride);
  /// x_grad [m, in] = y_grad [m, out] · M; rows of y_grad are `stride` values apart
  void backward(int64_t m, const P* y_grad, int64_t stride, Wide<P>* x_grad);

  /// weight_grad [out, in] = y_gradᵀ · x for y_grad [m, out], rows `stride` values apart, and rows x_i [in] at any
  /// addresses; added to what is there if `add`. `memory`: of reserve_gradient's size or more.
  void weight_gradient(int64_t m, const P* y_grad, int64_t stride, const P* const* x, Wide<P>* weight_grad, bool add,
                       at::Tensor& memory) const {
    weight_gradient_rows(m, y_grad, stride, x, weight_grad, add, memory, 0, out_);
  }
  /// The same for rows [first, first + rows) of weight_grad only. May be called by several threads at a time, each with
  /// memory of its own.
  void weight_gradient_rows(int64_t m, const P* y_grad, int64_t stride, const P* const* x, Wide<P>* weight_grad,
                            bool add, at::Tensor& memory, int64_t first, int64_t rows) const;
  /// Makes `memory`, which several matrices may share, large enough for the gradient of m rows; undefined: none yet.
  void reserve_gradient(int64_t m, at::Tensor& memory) const;
  /// The same for x [m, in]
  void weight_gradient(int64_t m, const P* y_grad, const P* x, Wide<P>* weight_grad) const;

 private:
  template <class Job, class Alone, class Part>
  static void together(std::span<const Job> products, bool transposed, Alone alone, Part part);
  void reserve(bool transposed);
  void pack(bool transposed);
  PackedMatrix<P>& rows(bool transposed) requires(!std::is_same_v<P, double>);
  void multiply(int64_t m, const P* x, int64_t x_stride, P* y, int64_t y_stride, bool transposed);
  const at::Tensor& plain();
  P* scratch(int64_t values);
  const P* in_order(int64_t m, const P* const* x, at::Tensor& memory) const;

  const Wide<P>* weight_;
  int64_t out_;
  int64_t in_;
  ProductBackend backend_;
  // At [0] for x·Mᵀ, at [1] for y·M, packed at first use.
  std::array<std::unique_ptr<PackedMatrix<P>>, 2> rows_;
  std::array<at::Tensor, 2> onednn_;
  at::Tensor plain_;    ///< [out, in] of P: the weights, or their rounded copy
  at::Tensor scratch_;  ///< without Rows: rows copied one after another, or a product before its rows are distributed
};

}  // namespace hmrnn::cpu
