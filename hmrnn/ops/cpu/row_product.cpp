#include "hmrnn/ops/cpu/row_product.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "hmrnn/ops/cpu/aligned_vector.h"
#include "hmrnn/ops/cpu/row_tables.h"

namespace hmrnn::cpu {

namespace {

/// Memory for panels of k values of n columns.
template <class P>
at::Tensor empty_panels(int64_t k, int64_t n) {
  const auto& kernels = row_product_kernels<P>();
  return empty_table({(n + kernels.width - 1) / kernels.width, kernels.panel_size(k)},
                     c10::CppTypeToScalarType<P>::value);
}

}  // namespace

template <class P>
PackedMatrix<P>::PackedMatrix(at::Tensor panels, int64_t k, int64_t n)
    : kernels_(row_product_kernels<P>()), k_(k), n_(n), panel_(panels.size(1)), panels_(std::move(panels)) {}

template <class P>
PackedMatrix<P>::PackedMatrix(int64_t k, int64_t n) : PackedMatrix(empty_panels<P>(k, n), k, n) {
  packed_ = false;
}

template <class P>
void PackedMatrix<P>::pack(const float* weight, int64_t stride, bool transposed) {
  const int64_t width = kernels_.width, panels = panels_.size(0);
  P* to = panels_.template data_ptr<P>();
  for_ranges(panels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t j = i * width;
      kernels_.pack(weight + (transposed ? j * stride : j), stride, transposed, k_, std::min(width, n_ - j),
                    to + i * panel_);
    }
  });
  packed_ = true;
}

/// Copies the rows x_i if the kernels cannot read them in place. Rows of any other equal distance than the two usual
/// ones are copied too, since brgemm compiles a kernel for each distance, and keeps it.
template <class P>
void PackedMatrix<P>::put_in_order(int64_t m, const P** x) const {
  const int64_t distance = m > 1 ? x[1] - x[0] : k_;
  bool ordered = k_ == kernels_.padded_depth(k_) && (distance == k_ || distance == row_stride<P>(k_));
  for (int64_t i = 2; i < m && ordered; ++i) ordered = x[i] - x[i - 1] == distance;
  if (ordered) return;
  static thread_local AlignedVector<P> memory;
  const int64_t stride = kernels_.copied_stride(k_);
  if (static_cast<int64_t>(memory.size()) < m * stride) memory.resize(m * stride);
  for (int64_t i = 0; i < m; ++i) {
    P* to = memory.data() + i * stride;
    copy_row(to, x[i], k_);
    std::fill(to + k_, to + kernels_.padded_depth(k_), P(0));
    x[i] = to;
  }
}

/// f(first row, rows, their x, first column, panel, next panel, columns) for every panel and every few rows.
template <class P>
template <class X, class F>
void PackedMatrix<P>::by_panels(int64_t m, Share share, X x, F f) const {
  constexpr int64_t most = RowProductKernels<P>::kMostRows;
  const int64_t width = kernels_.width, count = panels_.size(0);
  const int64_t begin = share.first(count, share.begin), end = share.first(count, share.end);
  if (begin == end) return;
  const P* panels = panels_.template const_data_ptr<P>();
  for (int64_t first = 0; first < m; first += most) {
    const int64_t rows = std::min(most, m - first);
    const P* of_rows[most];
    for (int64_t r = 0; r < rows; ++r) of_rows[r] = x(first + r);
    if (kernels_.ordered) put_in_order(rows, of_rows);
    for (int64_t i = begin; i < end; ++i) {
      const P* panel = panels + i * panel_;
      f(first, rows, of_rows, i * width, panel, i + 1 < end ? panel + panel_ : nullptr,
        std::min(width, n_ - i * width));
    }
    if (kernels_.end != nullptr) kernels_.end();
  }
}

template <class P>
void PackedMatrix<P>::forward(int64_t m, const P* const* x, P* y, int64_t stride, Share share) const {
  by_panels(
      m, share, [&](int64_t i) { return x[i]; },
      [&](int64_t first, int64_t rows, const P* const* from, int64_t column, const P* panel, const P* next,
          int64_t columns) {
        P* to[RowProductKernels<P>::kMostRows];
        for (int64_t r = 0; r < rows; ++r) to[r] = y + (first + r) * stride + column;
        kernels_.forward(rows, k_, from, panel, next, columns, to);
      });
}

template <class P>
void PackedMatrix<P>::backward(int64_t m, const P* x, int64_t stride, float* const* y, bool add, Share share) const {
  by_panels(
      m, share, [&](int64_t i) { return x + i * stride; },
      [&](int64_t first, int64_t rows, const P* const* from, int64_t column, const P* panel, const P* next,
          int64_t columns) {
        float* to[RowProductKernels<P>::kMostRows];
        for (int64_t r = 0; r < rows; ++r) to[r] = y[first + r] + column;
        kernels_.backward(rows, k_, from, panel, next, columns, to, add);
      });
}

/// Division of x for a weight gradient: chunks of rows, each about as large as a second-level cache when packed. Each
/// block of columns of y_grad is multiplied with a whole chunk.
template <class P>
struct GradientChunks {
  const RowProductKernels<P>& kernels = row_product_kernels<P>();
  int64_t panels, depth, count;

  GradientChunks(int64_t m, int64_t n) : panels((n + kernels.width - 1) / kernels.width) {
    constexpr int64_t cache = 1024 * 1024 / static_cast<int64_t>(sizeof(P));
    depth = std::clamp<int64_t>(cache / (panels * kernels.width) / 32 * 32, 32, kernels.kGradientDepth);
    count = (m + depth - 1) / depth;
  }
  int64_t values() const { return panels * kernels.panel_size(depth); }  ///< of a packed chunk
};

template <class P>
int64_t row_weight_gradient_scratch(int64_t m, int64_t n) {
  const GradientChunks<P> chunks(m, n);
  return chunks.count * chunks.values();
}

template <class P>
void row_weight_gradient(int64_t m, int64_t out, const P* y_grad, int64_t stride, int64_t n, const P* const* x,
                         float* gradient, bool add, P* scratch) {
  constexpr int64_t most = RowProductKernels<P>::kMostRows;
  const GradientChunks<P> layout(m, n);
  const auto& kernels = layout.kernels;
  const int64_t width = kernels.width, panels = layout.panels, depth = layout.depth, chunks = layout.count;
  const auto chunk_rows = [&](int64_t c) { return std::min(depth, m - c * depth); };
  const auto chunk = [&](int64_t c) { return scratch + c * layout.values(); };
  for_ranges(chunks * panels, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t c = i / panels, p = i % panels, k = chunk_rows(c);
      kernels.pack_rows(k, x + c * depth, p * width, std::min(width, n - p * width),
                        chunk(c) + p * kernels.panel_size(k));
    }
  });
  for_ranges((out + most - 1) / most, [&](int64_t begin, int64_t end) {
    for (int64_t c = 0; c < chunks; ++c) {
      const P* y = y_grad + c * depth * stride;
      for (int64_t b = begin; b < end; ++b) {
        kernels.weight_gradient(chunk_rows(c), std::min(most, out - b * most), y + b * most, stride,
                                b + 1 < end ? y + (b + 1) * most : nullptr, chunk(c), n, gradient + b * most * n,
                                add || c > 0);
      }
    }
  });
}

template void row_weight_gradient(int64_t, int64_t, const float*, int64_t, int64_t, const float* const*, float*, bool,
                                  float*);
template void row_weight_gradient(int64_t, int64_t, const c10::BFloat16*, int64_t, int64_t, const c10::BFloat16* const*,
                                  float*, bool, c10::BFloat16*);
template int64_t row_weight_gradient_scratch<float>(int64_t, int64_t);
template int64_t row_weight_gradient_scratch<c10::BFloat16>(int64_t, int64_t);
template class PackedMatrix<float>;
template class PackedMatrix<c10::BFloat16>;

}  // namespace hmrnn::cpu
