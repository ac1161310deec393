#include "hmrnn/ops/cpu/product.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>

#include <type_traits>

namespace hmrnn::cpu {

namespace {

// Fortran BLAS, column-major, 32-bit integers: LibTorch exports MKL's or OpenBLAS's.
template <class T>
using Blas = void (*)(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                      const T*, const int*, const T*, T*, const int*);

template <class T>
Blas<T> find_blas() {
  return reinterpret_cast<Blas<T>>(dlsym(RTLD_DEFAULT, std::is_same_v<T, float> ? "sgemm_" : "dgemm_"));
}

at::Tensor matrix(const void* data, int64_t rows, int64_t columns, int64_t stride, at::ScalarType type) {
  return at::from_blob(const_cast<void*>(data), {rows, columns}, {stride, 1}, at::TensorOptions(type));
}

}  // namespace

template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T beta, T* c, int64_t ldc) {
  if (m == 0 || n == 0) return;
  static const Blas<T> blas = find_blas<T>();
  if (blas != nullptr && k > 0) {
    // A row-major product is the column-major product of the transposed operands in the other order.
    const int mi = static_cast<int>(m), ni = static_cast<int>(n), ki = static_cast<int>(k);
    const int la = static_cast<int>(lda), lb = static_cast<int>(ldb), lc = static_cast<int>(ldc);
    const T one = 1;
    blas(transpose_b ? "T" : "N", transpose_a ? "T" : "N", &ni, &mi, &ki, &one, b, &lb, a, &la, &beta, c, &lc);
    return;
  }
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  const auto ta = transpose_a ? matrix(a, k, m, lda, type).t() : matrix(a, m, k, lda, type);
  const auto tb = transpose_b ? matrix(b, n, k, ldb, type).t() : matrix(b, k, n, ldb, type);
  auto tc = matrix(c, m, n, ldc, type);
  if (beta == T(0)) {
    tc.copy_(at::mm(ta, tb));
  } else {
    tc.mul_(beta).add_(at::mm(ta, tb));
  }
}

template void gemm<float>(bool, bool, int64_t, int64_t, int64_t, const float*, int64_t, const float*, int64_t, float,
                          float*, int64_t);
template void gemm<double>(bool, bool, int64_t, int64_t, int64_t, const double*, int64_t, const double*, int64_t,
                           double, double*, int64_t);

namespace {

/// oneDNN's packed linear layer, registered by LibTorch where it was built with oneDNN; null where it was not.
struct PackedLinear {
  using Pack = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  using Apply = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  std::optional<c10::TypedOperatorHandle<Pack>> pack;
  std::optional<c10::TypedOperatorHandle<Apply>> apply;

  PackedLinear() {
    auto& dispatcher = c10::Dispatcher::singleton();
    const auto p = dispatcher.findSchema({"mkldnn::_reorder_linear_weight", ""});
    const auto a = dispatcher.findSchema({"mkldnn::_linear_pointwise", ""});
    if (!p || !a || !at::globalContext().userEnabledMkldnn()) return;
    pack = p->typed<Pack>();
    apply = a->typed<Apply>();
  }
  static const PackedLinear& get() {
    static const PackedLinear instance;
    return instance;
  }
};

bool has_avx512() {
  static const bool has = at::get_cpu_capability() == "AVX512";
  return has;
}

}  // namespace

ProductBackend choose_backend(int64_t m) {
  constexpr int64_t small = 32;
  return has_avx512() && m <= small ? ProductBackend::Packed : ProductBackend::Blas;
}

/// The matrix as oneDNN multiplies by it; packed at first use, once a window.
template <class T>
struct Product<T>::Packed {
  at::Tensor plain;     // [out, in], bfloat16 or a view of the float32 weights
  at::Tensor forward;   // packed for x·Mᵀ
  at::Tensor backward;  // packed for y·M
};

template <class T>
Product<T>::Product(const T* weight, int64_t out, int64_t in, bool bfloat16, std::optional<ProductBackend> backend)
    : weight_(weight), out_(out), in_(in), bfloat16_(bfloat16), backend_(backend) {
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  if (type != at::kFloat || out_ == 0) return;
  packed_ = std::make_unique<Packed>();
  packed_->plain = matrix(weight_, out_, in_, in_, type);
  if (bfloat16_) packed_->plain = packed_->plain.to(at::kBFloat16);
}

template <class T>
Product<T>::~Product() = default;
template <class T>
Product<T>::Product(Product&&) noexcept = default;
template <class T>
Product<T>& Product<T>::operator=(Product&&) noexcept = default;

template <class T>
bool Product<T>::packed(int64_t m) const {
  if (packed_ == nullptr || !PackedLinear::get().pack) return false;
  // oneDNN refuses bfloat16 on CPUs without AVX-512, and is the faster one at every m where it does not.
  if (bfloat16_) return has_avx512() && backend_ != ProductBackend::Blas;
  return backend_.value_or(choose_backend(m)) == ProductBackend::Packed;
}

namespace {

/// out = x · weightᵀ through oneDNN; `packed` is filled at first use.
void packed_linear(const at::Tensor& x, const at::Tensor& weight, at::Tensor& packed, at::Tensor out) {
  const auto& linear = PackedLinear::get();
  if (!packed.defined()) packed = linear.pack->call(weight.contiguous(), x.size(0));
  out.copy_(linear.apply->call(x, packed, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), ""));
}

}  // namespace

template <class T>
void Product<T>::forward(int64_t m, const T* x, T* y) {
  if (m == 0) return;
  const bool fast = packed(m);
  if (!fast && !bfloat16_) return gemm<T>(false, true, m, out_, in_, x, in_, weight_, in_, T(0), y, out_);
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  const auto rows = matrix(x, m, in_, in_, type).to(packed_->plain.scalar_type());
  auto result = matrix(y, m, out_, out_, type);
  if (fast) return packed_linear(rows, packed_->plain, packed_->forward, result);
  result.copy_(at::mm(rows, packed_->plain.t()));
}

template <class T>
void Product<T>::backward(int64_t m, const T* y_grad, T* x_grad) {
  if (m == 0) return;
  const bool fast = packed(m);
  if (!fast && !bfloat16_) return gemm<T>(false, false, m, in_, out_, y_grad, out_, weight_, in_, T(0), x_grad, in_);
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  const auto rows = matrix(y_grad, m, out_, out_, type).to(packed_->plain.scalar_type());
  auto result = matrix(x_grad, m, in_, in_, type);
  if (fast) return packed_linear(rows, packed_->plain.t(), packed_->backward, result);
  result.copy_(at::mm(rows, packed_->plain));
}

template <class T>
void Product<T>::weight_gradient(int64_t m, const T* y_grad, const T* x, T* weight_grad) const {
  if (m == 0) return;
  if (!bfloat16_) return gemm<T>(true, false, out_, in_, m, y_grad, out_, x, in_, T(1), weight_grad, in_);
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  matrix(weight_grad, out_, in_, in_, type)
      .add_(at::mm(matrix(y_grad, m, out_, out_, type).to(at::kBFloat16).t(),
                   matrix(x, m, in_, in_, type).to(at::kBFloat16)));
}

template class Product<float>;
template class Product<double>;

}  // namespace hmrnn::cpu
