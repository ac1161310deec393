#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace hmrnn::cpu {

/// C = op(A) · op(B) + beta · C, row-major: op(A) [m, k], op(B) [k, n], C [m, n]; lda, ldb, ldc are row lengths in
/// memory. LibTorch's own BLAS, called without a tensor in between where its symbols are visible.
template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc);

/// Who multiplies: the BLAS, or oneDNN with weights that it packed before (once a window).
enum class ProductBackend { Blas, Packed };

/// What is faster for m rows of float32 on this CPU. oneDNN's packed weights win where m is small and the CPU has
/// AVX-512 (for [m, 512] × [512, 2048] on two cores: 157 against 66 GFLOP/s at m = 13, 90 against 140 at m = 64); with
/// AVX2 alone the two were measured to be equal.
ProductBackend choose_backend(int64_t m);

/// One weight matrix M [out, in] of the window, applied to a few rows at a time, both ways. With bfloat16 the operands
/// are rounded to bfloat16 (and a product's result may be, where the backend returns bfloat16).
template <class T>
class Product {
 public:
  /// `weight`: the first `out` rows of a contiguous [R, in] matrix. `bfloat16` for T = float only.
  /// `backend`: for every m, instead of the choice by m (float32 and bfloat16; where oneDNN is missing it is the BLAS).
  Product(const T* weight, int64_t out, int64_t in, bool bfloat16,
          std::optional<ProductBackend> backend = std::nullopt);
  ~Product();
  Product(Product&&) noexcept;
  Product& operator=(Product&&) noexcept;

  int64_t out() const { return out_; }
  int64_t in() const { return in_; }

  /// y [m, out] = x [m, in] · Mᵀ
  void forward(int64_t m, const T* x, T* y);
  /// x_grad [m, in] = y_grad [m, out] · M
  void backward(int64_t m, const T* y_grad, T* x_grad);
  /// weight_grad [out, in] += y_gradᵀ · x over m rows
  void weight_gradient(int64_t m, const T* y_grad, const T* x, T* weight_grad) const;

 private:
  struct Packed;

  bool packed(int64_t m) const;

  const T* weight_;
  int64_t out_;
  int64_t in_;
  bool bfloat16_;
  std::optional<ProductBackend> backend_;
  std::unique_ptr<Packed> packed_;  // float32 and bfloat16
};

}  // namespace hmrnn::cpu
