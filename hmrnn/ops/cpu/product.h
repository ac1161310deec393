#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <vector>

namespace hmrnn::cpu {

/// C = op(A) · op(B) + beta · C, row-major: op(A) [m, k], op(B) [k, n], C [m, n]; lda, ldb, ldc are row lengths in
/// memory. LibTorch's own BLAS, called without a tensor in between where its symbols are visible.
template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc);

/// Who multiplies: the BLAS, or oneDNN with weights that it packed before (once a window).
enum class ProductBackend { Blas, Packed };

/// What is faster for m rows of float32 on this CPU; the same answer in every run. oneDNN needs AVX-512 to be worth it
/// (with AVX2 alone the two were measured to be equal). On Intel's CPUs it wins where m is small (for [m, 512] × [512,
/// 2048] on two cores: 157 against 66 GFLOP/s at m = 13, 90 against 140 at m = 64). On AMD's it wins at every m, since
/// MKL uses no AVX-512 there (one Zen 5 core: 113 against 67 at m = 13, 195 against 94 at m = 64, 246 against 102 at m
/// = 128).
ProductBackend choose_backend(int64_t m);

/// What is computed with beside products of type P: float for bfloat16, P itself for float and double.
template <class P>
using Wide = std::conditional_t<std::is_same_v<P, c10::BFloat16>, float, P>;

/// One weight matrix M [out, in] of the window, applied to a few rows at a time, both ways. P is the type of the
/// operands and of the results; sums are made in Wide<P>.
template <class P>
class Product {
 public:
  /// `weight`: the first `out` rows of a contiguous [R, in] matrix, which has to outlive this; rounded here for
  /// bfloat16. `backend`: for every m, instead of the choice by m (float32 and bfloat16; where oneDNN is missing it is
  /// the BLAS).
  Product(const Wide<P>* weight, int64_t out, int64_t in, std::optional<ProductBackend> backend = std::nullopt);
  ~Product();
  Product(Product&&) noexcept;
  Product& operator=(Product&&) noexcept;

  int64_t out() const { return out_; }
  int64_t in() const { return in_; }

  /// Packs what forward (and backward, if `both`) will need for up to m rows; afterwards several threads may call them.
  void prepare(int64_t m, bool both);
  /// y [m, out] = x [m, in] · Mᵀ
  void forward(int64_t m, const P* x, P* y);
  /// x_grad [m, in] = y_grad [m, out] · M
  void backward(int64_t m, const P* y_grad, P* x_grad);
  /// weight_grad [out, in] = y_gradᵀ · x over m rows, added to what is there if `add`
  void weight_gradient(int64_t m, const P* y_grad, const P* x, Wide<P>* weight_grad, bool add) const;

 private:
  bool packed(int64_t m) const;

  int64_t out_;
  int64_t in_;
  std::optional<ProductBackend> backend_;
  at::Tensor plain_;                         ///< [out, in] of P: a view of the weights, or their rounded copy
  std::vector<at::Tensor> forward_packed_;   ///< blocks of M for x·Mᵀ, packed at first use
  std::vector<at::Tensor> backward_packed_;  ///< blocks of Mᵀ for y·M, packed at first use
};

}  // namespace hmrnn::cpu
