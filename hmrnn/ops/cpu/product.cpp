#include "hmrnn/ops/cpu/product.h"

#include <ATen/ATen.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstring>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cpu/cell_kernel.h"

namespace hmrnn::cpu {

namespace {

at::Tensor matrix(const void* data, int64_t rows, int64_t columns, int64_t stride, at::ScalarType type) {
  return at::from_blob(const_cast<void*>(data), {rows, columns}, {stride, 1}, at::TensorOptions(type));
}

/// C = op(A) · op(B), row-major, or C + that: op(A) [m, k], op(B) [k, n], C [m, n]; lda, ldb, ldc are row lengths in
/// memory. Through ATen, to use its BLAS: a symbol `sgemm_` that the host program exports may be another BLAS.
template <class T>
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b,
          int64_t ldb, T* c, int64_t ldc, bool add = false) {
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  const auto ta = transpose_a ? matrix(a, k, m, lda, type).t() : matrix(a, m, k, lda, type);
  const auto tb = transpose_b ? matrix(b, n, k, ldb, type).t() : matrix(b, k, n, ldb, type);
  auto to = matrix(c, m, n, ldc, type);
  add ? to.addmm_(ta, tb) : at::mm_out(to, ta, tb);
}

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

/// x · weightᵀ through oneDNN; `weight` as it is, or packed.
at::Tensor apply_linear(const at::Tensor& x, const at::Tensor& weight) {
  return PackedLinear::get().apply->call(x, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
}

template <class P>
bool available(ProductBackend backend) {
  if (backend == ProductBackend::Blas) return true;
  if constexpr (std::is_same_v<P, double>) return false;
  // oneDNN refuses bfloat16 on CPUs without AVX-512.
  if (backend == ProductBackend::OneDnn) {
    return std::is_same_v<P, c10::BFloat16> && has_avx512() && PackedLinear::get().pack;
  }
  if constexpr (!std::is_same_v<P, double>) return row_product_kernels<P>().width > 0;
}

template <class P>
void grow(at::Tensor& memory, int64_t values) {
  if (!memory.defined() || memory.numel() < values) memory = at::empty({values}, c10::CppTypeToScalarType<P>::value);
}

template <class T>
std::vector<T*> pointers(int64_t m, int64_t width, T* rows) {
  std::vector<T*> out(m);
  for (int64_t i = 0; i < m; ++i) out[i] = rows + i * width;
  return out;
}

}  // namespace

template <class P>
ProductBackend choose_backend() {
  if (available<P>(ProductBackend::Rows)) return ProductBackend::Rows;
  return available<P>(ProductBackend::OneDnn) ? ProductBackend::OneDnn : ProductBackend::Blas;
}

template <class P>
Product<P>::Product(const Wide<P>* weight, int64_t out, int64_t in, std::optional<ProductBackend> backend)
    : weight_(weight), out_(out), in_(in), backend_(backend.value_or(choose_backend<P>())) {
  if (!available<P>(backend_)) backend_ = ProductBackend::Blas;
}

template <class P>
at::Tensor Product<P>::packed() const {
  if constexpr (!std::is_same_v<P, double>) {
    if (rows_[0] && rows_[0]->packed()) return rows_[0]->panels();
  }
  return at::empty({0}, c10::CppTypeToScalarType<P>::value);
}

template <class P>
void Product<P>::reuse(const at::Tensor& packed) {
  if constexpr (!std::is_same_v<P, double>) {
    if (backend_ == ProductBackend::Rows && packed.numel() > 0) {
      rows_[0] = std::make_unique<PackedMatrix<P>>(packed, in_, out_);
    }
  }
}

template <class P>
const at::Tensor& Product<P>::plain() {
  if (!plain_.defined()) {
    plain_ = matrix(weight_, out_, in_, in_, c10::CppTypeToScalarType<Wide<P>>::value)
                 .to(c10::CppTypeToScalarType<P>::value);
  }
  return plain_;
}

/// y = x · Mᵀ, or with `transposed` x · M, without Rows.
template <class P>
void Product<P>::multiply(int64_t m, const P* x, int64_t x_stride, P* y, int64_t y_stride, bool transposed) {
  const int64_t from = transposed ? out_ : in_, to = transposed ? in_ : out_;
  if constexpr (!std::is_same_v<P, c10::BFloat16>) {
    return gemm<P>(false, !transposed, m, to, from, x, x_stride, plain().template const_data_ptr<P>(), in_, y,
                   y_stride);
  } else {
    const auto rows = matrix(x, m, from, x_stride, at::kBFloat16);
    auto result = matrix(y, m, to, y_stride, at::kBFloat16);
    const auto weight = transposed ? plain().t() : plain();
    if (backend_ == ProductBackend::Blas) {
      at::mm_out(result, rows, weight.t());
      return;
    }
    auto& packed = onednn_[transposed];
    if (!packed.defined()) packed = PackedLinear::get().pack->call(weight.contiguous(), m);
    result.copy_(apply_linear(rows, packed));  // oneDNN allocates its result: there is no variant that takes memory
  }
}

template <class P>
P* Product<P>::scratch(int64_t values) {
  grow<P>(scratch_, values);
  return scratch_.template data_ptr<P>();
}

/// The rows x_i [in] one after another: in place if they are so already, else copied into `memory`.
template <class P>
const P* Product<P>::in_order(int64_t m, const P* const* x, at::Tensor& memory) const {
  bool ordered = true;
  for (int64_t i = 1; i < m && ordered; ++i) ordered = x[i] == x[0] + i * in_;
  if (ordered) return x[0];
  grow<P>(memory, m * in_);
  P* to = memory.template data_ptr<P>();
  for (int64_t i = 0; i < m; ++i) std::memcpy(to + i * in_, x[i], static_cast<size_t>(in_) * sizeof(P));
  return to;
}

template <class P>
void Product<P>::reserve(bool transposed) {
  if constexpr (!std::is_same_v<P, double>) {
    auto& packed = rows_[transposed];
    if (packed || backend_ != ProductBackend::Rows) return;
    packed = std::make_unique<PackedMatrix<P>>(transposed ? out_ : in_, transposed ? in_ : out_);
  }
}

/// M packed for our own products.
template <class P>
PackedMatrix<P>& Product<P>::rows(bool transposed) requires(!std::is_same_v<P, double>) {
  reserve(transposed);
  auto& packed = *rows_[transposed];
  if (!packed.packed()) packed.pack(weight_, in_, /*transposed=*/!transposed);
  return packed;
}

template <class P>
void Product<P>::pack(bool transposed) {
  if (out_ == 0 || in_ == 0) return;
  if constexpr (!std::is_same_v<P, double>) {
    if (backend_ == ProductBackend::Rows) return static_cast<void>(rows(transposed));
  }
  plain();
}

template <class P>
Product<P> Product<P>::beside() const {
  Product out(weight_, out_, in_, backend_);
  if constexpr (!std::is_same_v<P, double>) {
    for (size_t i = 0; i < rows_.size(); ++i) {
      if (rows_[i] && rows_[i]->packed()) out.rows_[i] = std::make_unique<PackedMatrix<P>>(*rows_[i]);
    }
  }
  out.onednn_ = onednn_;
  out.plain_ = plain_;
  return out;
}

/// Computes the products that are not Rows one after the other by alone(product), then those that are by part(product,
/// share), in one loop over shares.
template <class P>
template <class Job, class Alone, class Part>
void Product<P>::together(std::span<const Job> products, bool transposed, Alone alone, Part part) {
  [[maybe_unused]] int64_t work = 0;
  const auto by_rows = [](const Job& job) { return job.m > 0 && job.matrix->backend_ == ProductBackend::Rows; };
  for (const auto& job : products) {
    if (job.m > 0 && !by_rows(job)) alone(job);
    if constexpr (!std::is_same_v<P, double>) {
      if (by_rows(job)) work += job.matrix->rows(transposed).multiplications(job.m);
    }
  }
  if constexpr (!std::is_same_v<P, double>) {
    if (work == 0) return;
    for_shares(work, [&](Share share) {
      for (const auto& job : products) {
        if (by_rows(job)) part(job, share);
      }
    });
  }
}

template <class P>
void Product<P>::forward(std::span<const Forward> products) {
  together(
      products, /*transposed=*/false,
      [](const Forward& p) {
        p.matrix->multiply(p.m, p.matrix->in_order(p.m, p.x, p.matrix->scratch_), p.matrix->in_, p.y, p.stride,
                           /*transposed=*/false);
      },
      [](const auto& p, Share share) { p.matrix->rows_[0]->forward(p.m, p.x, p.y, p.stride, share); });
}

template <class P>
void Product<P>::backward(std::span<const Backward> products) {
  const auto alone = [](const Backward& p) {
    const int64_t in = p.matrix->in_;
    P* result = p.matrix->scratch(p.m * in);
    p.matrix->multiply(p.m, p.y_grad, p.stride, result, in, /*transposed=*/true);
    const auto& k = cell_kernels<Wide<P>, P>();
    for (int64_t i = 0; i < p.m; ++i) (p.add ? k.add : k.widen)(in, result + i * in, p.x_grad[i]);
  };
  together(products, /*transposed=*/true, alone, [](const auto& p, Share share) {
    p.matrix->rows_[1]->backward(p.m, p.y_grad, p.stride, p.x_grad, p.add, share);
  });
}

template <class P>
void Product<P>::forward(int64_t m, const P* const* x, P* y, int64_t stride) {
  const Forward product{this, m, x, y, stride};
  forward({&product, 1});
}

template <class P>
void Product<P>::backward(int64_t m, const P* y_grad, int64_t stride, Wide<P>* x_grad) {
  const auto rows = pointers(m, in_, x_grad);
  const Backward product{this, m, y_grad, stride, rows.data(), /*add=*/false};
  backward({&product, 1});
}

template <class P>
void Product<P>::reserve_gradient(int64_t m, at::Tensor& memory) const {
  if constexpr (!std::is_same_v<P, double>) {
    if (backend_ == ProductBackend::Rows) return grow<P>(memory, row_weight_gradient_scratch<P>(m, in_));
  }
  grow<P>(memory, m * in_);
}

template <class P>
void Product<P>::weight_gradient_rows(int64_t m, const P* y_grad, int64_t stride, const P* const* x,
                                      Wide<P>* weight_grad, bool add, at::Tensor& memory, int64_t first,
                                      int64_t rows) const {
  constexpr auto type = c10::CppTypeToScalarType<P>::value;
  weight_grad += first * in_;
  auto to = matrix(weight_grad, rows, in_, in_, c10::CppTypeToScalarType<Wide<P>>::value);
  if (m == 0) {
    if (!add) to.zero_();
    return;
  }
  y_grad += first;
  if constexpr (!std::is_same_v<P, double>) {
    if (backend_ == ProductBackend::Rows) {
      return row_weight_gradient(m, rows, y_grad, stride, in_, x, weight_grad, add, memory.template data_ptr<P>());
    }
  }
  const P* ordered = in_order(m, x, memory);
  if constexpr (std::is_same_v<P, c10::BFloat16>) {
    const auto product = at::mm(matrix(y_grad, m, rows, stride, type).t(), matrix(ordered, m, in_, in_, type));
    add ? to.add_(product) : to.copy_(product);
  } else {
    gemm<P>(true, false, rows, in_, m, y_grad, stride, ordered, in_, weight_grad, in_, add);
  }
}

template <class P>
void Product<P>::weight_gradient(int64_t m, const P* y_grad, const P* x, Wide<P>* weight_grad) const {
  at::Tensor memory;
  reserve_gradient(m, memory);
  weight_gradient(m, y_grad, out_, pointers(m, in_, x).data(), weight_grad, /*add=*/false, memory);
}

template ProductBackend choose_backend<float>();
template ProductBackend choose_backend<double>();
template ProductBackend choose_backend<c10::BFloat16>();
template class Product<float>;
template class Product<double>;
template class Product<c10::BFloat16>;

}  // namespace hmrnn::cpu
