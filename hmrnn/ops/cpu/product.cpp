#include "hmrnn/ops/cpu/product.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstring>
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

/// MKL keeps its AVX-512 kernels to Intel's CPUs.
bool blas_has_avx512() {
#if defined(__x86_64__) && defined(__GNUC__)
  static const bool amd = __builtin_cpu_is("amd") != 0;
  return !amd;
#else
  return true;
#endif
}

}  // namespace

ProductBackend choose_backend(int64_t m) {
  constexpr int64_t small = 32;
  return has_avx512() && (m <= small || !blas_has_avx512()) ? ProductBackend::Packed : ProductBackend::Blas;
}

template <class P>
Product<P>::Product(const Wide<P>* weight, int64_t out, int64_t in, std::optional<ProductBackend> backend)
    : out_(out), in_(in), backend_(backend) {
  if (out_ == 0) return;
  plain_ =
      matrix(weight, out_, in_, in_, c10::CppTypeToScalarType<Wide<P>>::value).to(c10::CppTypeToScalarType<P>::value);
}

template <class P>
Product<P>::~Product() = default;
template <class P>
Product<P>::Product(Product&&) noexcept = default;
template <class P>
Product<P>& Product<P>::operator=(Product&&) noexcept = default;

template <class P>
bool Product<P>::packed(int64_t m) const {
  if (std::is_same_v<P, double> || !PackedLinear::get().pack) return false;
  // oneDNN refuses bfloat16 on CPUs without AVX-512, and is the faster one at every m where it does not.
  if (std::is_same_v<P, c10::BFloat16>) return has_avx512() && backend_ != ProductBackend::Blas;
  return backend_.value_or(choose_backend(m)) == ProductBackend::Packed;
}

namespace {

/// x · weightᵀ through oneDNN; `weight` as it is, or packed.
at::Tensor apply_linear(const at::Tensor& x, const at::Tensor& weight) {
  return PackedLinear::get().apply->call(x, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

/// Fills `packed` if it is empty. In float32 the weights go in blocks of as many rows as the
/// second-level cache holds beside x (one Zen 5 core, [m, 512] × [512, 2048]: 155 GFLOP/s in blocks of 512 against 129
/// whole at m = 13, 194 against 147 at m = 64); in bfloat16 whole is faster.
template <class P>
void pack(int64_t m, const at::Tensor& weight, std::vector<at::Tensor>& packed) {
  if (!packed.empty()) return;
  const int64_t n = weight.size(0);
  const int64_t block = std::is_same_v<P, float> ? std::max<int64_t>(64, (1 << 18) / weight.size(1) / 64 * 64) : n;
  for (int64_t from = 0; from < n; from += block) {
    packed.push_back(PackedLinear::get().pack->call(weight.narrow(0, from, std::min(block, n - from)).contiguous(), m));
  }
}

/// y [m, n] = x · weightᵀ.
template <class P>
void packed_linear(const at::Tensor& x, const at::Tensor& weight, std::vector<at::Tensor>& packed, P* y) {
  const int64_t m = x.size(0), n = weight.size(0);
  pack<P>(m, weight, packed);
  for (const auto& part : packed) {
    const auto result = apply_linear(x, part);  // oneDNN allocates it: there is no variant that takes its memory
    const auto* from = static_cast<const P*>(result.const_data_ptr());
    const int64_t width = result.size(1);
    for (int64_t i = 0; i < (width == n ? 1 : m); ++i) {
      std::memcpy(y + i * n, from + i * width, static_cast<size_t>(width == n ? m * n : width) * sizeof(P));
    }
    y += width;
  }
}

}  // namespace

template <class P>
void Product<P>::prepare(int64_t m, bool both) {
  if (out_ == 0 || !packed(1)) return;  // packed for few rows at least, or for none
  pack<P>(m, plain_, forward_packed_);
  if (both) pack<P>(m, plain_.t(), backward_packed_);
}

template <class P>
void Product<P>::forward(int64_t m, const P* x, P* y) {
  if (m == 0) return;
  constexpr auto type = c10::CppTypeToScalarType<P>::value;
  const auto rows = matrix(x, m, in_, in_, type);
  if (packed(m)) return packed_linear(rows, plain_, forward_packed_, y);
  if constexpr (std::is_same_v<P, c10::BFloat16>) {
    auto result = matrix(y, m, out_, out_, type);
    at::mm_out(result, rows, plain_.t());
  } else {
    gemm<P>(false, true, m, out_, in_, x, in_, static_cast<const P*>(plain_.const_data_ptr()), in_, P(0), y, out_);
  }
}

template <class P>
void Product<P>::backward(int64_t m, const P* y_grad, P* x_grad) {
  if (m == 0) return;
  constexpr auto type = c10::CppTypeToScalarType<P>::value;
  const auto rows = matrix(y_grad, m, out_, out_, type);
  if (packed(m)) return packed_linear(rows, plain_.t(), backward_packed_, x_grad);
  if constexpr (std::is_same_v<P, c10::BFloat16>) {
    auto result = matrix(x_grad, m, in_, in_, type);
    at::mm_out(result, rows, plain_);
  } else {
    gemm<P>(false, false, m, in_, out_, y_grad, out_, static_cast<const P*>(plain_.const_data_ptr()), in_, P(0), x_grad,
            in_);
  }
}

template <class P>
void Product<P>::weight_gradient(int64_t m, const P* y_grad, const P* x, Wide<P>* weight_grad, bool add) const {
  constexpr auto type = c10::CppTypeToScalarType<P>::value;
  auto to = matrix(weight_grad, out_, in_, in_, c10::CppTypeToScalarType<Wide<P>>::value);
  if (m == 0) {
    if (!add) to.zero_();
    return;
  }
  const auto dy = matrix(y_grad, m, out_, out_, type), rows = matrix(x, m, in_, in_, type);
  const auto put = [&](const at::Tensor& product) { add ? to.add_(product.contiguous()) : to.copy_(product); };
  if (std::is_same_v<P, float> && packed(m)) {
    put(apply_linear(rows.t(), dy.t()).t());  // the transposed gradient: oneDNN then reads both operands as they lie
  } else if constexpr (std::is_same_v<P, c10::BFloat16>) {
    put(at::mm(dy.t(), rows));
  } else {
    gemm<P>(true, false, out_, in_, m, y_grad, out_, x, in_, add ? P(1) : P(0), weight_grad, in_);
  }
}

template class Product<float>;
template class Product<double>;
template class Product<c10::BFloat16>;

}  // namespace hmrnn::cpu
