#include "hmrnn/ops/cpu/row_product.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

namespace hmrnn::cpu {

template <class P>
PackedMatrix<P>::PackedMatrix(const float* weight, int64_t stride, bool transposed, int64_t k, int64_t n)
    : kernels_(row_product_kernels<P>()), k_(k), n_(n) {
  constexpr int64_t pairs = std::is_same_v<P, float> ? 1 : 2;
  const int64_t width = kernels_.width, panels = (n + width - 1) / width;
  panel_ = (k + pairs - 1) / pairs * pairs * width;
  panels_ = at::empty({panels, panel_}, c10::CppTypeToScalarType<P>::value);
  P* to = panels_.template data_ptr<P>();
  at::parallel_for(0, panels, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = i * width;
      kernels_.pack(weight + (transposed ? j * stride : j), stride, transposed, k, std::min(width, n - j),
                    to + i * panel_);
    }
  });
}

/// f(first row, rows, their x, first column, panel, next panel, columns) for every panel and every few rows.
template <class P>
template <class X, class F>
void PackedMatrix<P>::by_panels(int64_t m, X x, F f) const {
  if (m == 0 || n_ == 0) return;
  constexpr int64_t most = RowProductKernels<P>::kMostRows;
  constexpr int64_t worth_a_thread = 1 << 18;  // multiplications
  const int64_t width = kernels_.width;
  const P* panels = panels_.template const_data_ptr<P>();
  const int64_t each = std::max<int64_t>(1, worth_a_thread / std::max<int64_t>(1, std::min(m, most) * panel_));
  at::parallel_for(0, panels_.size(0), each, [&](int64_t begin, int64_t end) {
    for (int64_t first = 0; first < m; first += most) {
      const int64_t rows = std::min(most, m - first);
      const P* of_rows[most];
      for (int64_t r = 0; r < rows; ++r) of_rows[r] = x(first + r);
      for (int64_t i = begin; i < end; ++i) {
        const P* panel = panels + i * panel_;
        f(first, rows, of_rows, i * width, panel, i + 1 < end ? panel + panel_ : nullptr,
          std::min(width, n_ - i * width));
      }
    }
  });
}

template <class P>
void PackedMatrix<P>::forward(int64_t m, const P* const* x, P* y) const {
  by_panels(
      m, [&](int64_t i) { return x[i]; },
      [&](int64_t first, int64_t rows, const P* const* from, int64_t column, const P* panel, const P* next,
          int64_t columns) {
        P* to[RowProductKernels<P>::kMostRows];
        for (int64_t r = 0; r < rows; ++r) to[r] = y + (first + r) * n_ + column;
        kernels_.forward(rows, k_, from, panel, next, columns, to);
      });
}

template <class P>
void PackedMatrix<P>::backward(int64_t m, const P* x, float* const* y, bool add) const {
  by_panels(
      m, [&](int64_t i) { return x + i * k_; },
      [&](int64_t first, int64_t rows, const P* const* from, int64_t column, const P* panel, const P* next,
          int64_t columns) {
        float* to[RowProductKernels<P>::kMostRows];
        for (int64_t r = 0; r < rows; ++r) to[r] = y[first + r] + column;
        kernels_.backward(rows, k_, from, panel, next, columns, to, add);
      });
}

template class PackedMatrix<float>;
template class PackedMatrix<c10::BFloat16>;

}  // namespace hmrnn::cpu
