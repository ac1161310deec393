// The gradient of a weight matrix from rows at any addresses (row_product.h). Compiled once for each instruction set
// (cmake/CpuKernels.cmake).

#include "hmrnn/ops/cpu/row_product_panel.h"

#ifdef HMRNN_ROW_PRODUCTS
namespace hmrnn::cpu {
inline namespace HMRNN_ISA {

namespace {

#if defined(__AVX512BF16__)
__m512i beside(const c10::BFloat16* first, const c10::BFloat16* second) {
  const auto load = [](const c10::BFloat16* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); };
  return interleave(load(first), load(second));
}

/// Packs two rows (the second null: zeros) as one line of pairs of a panel.
void panel_line(const c10::BFloat16* row, const c10::BFloat16* second, int64_t columns, c10::BFloat16* line) {
  if (columns == kWidth && second != nullptr) {
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(line + v * 32, beside(row + v * 16, second + v * 16));
    return;
  }
  std::fill_n(line, 2 * kWidth, c10::BFloat16(0));
  for (int64_t j = 0; j < columns; ++j) {
    line[2 * j] = row[j];
    if (second != nullptr) line[2 * j + 1] = second[j];
  }
}

void transpose_tile(const c10::BFloat16* y, int64_t stride, c10::BFloat16* to, int64_t depth) {
  alignas(kLine) float pairs[kTile][kTile];
  for (int64_t i = 0; i < kTile; ++i) {
    _mm512_store_si512(pairs[i], beside(y + 2 * i * stride, y + (2 * i + 1) * stride));
  }
  at::vec::transpose_mxn<float, kTile, kTile>(&pairs[0][0], kTile, reinterpret_cast<float*>(to), depth / 2);
}
#else
/// Packs one row of `columns` values as a line of a panel.
void panel_line(const float* row, const float*, int64_t columns, float* line) {
  std::copy_n(row, columns, line);
  std::fill_n(line + columns, kWidth - columns, 0.0f);
}

/// to [kTile, kTile], rows `depth` apart = y [kTile, kTile], rows `stride` apart, transposed
void transpose_tile(const float* y, int64_t stride, float* to, int64_t depth) {
  at::vec::transpose_mxn<float, kTile, kTile>(y, stride, to, depth);
}
#endif

/// panel = `columns` columns, from `column` on, of k rows x_i
template <class P>
void pack_rows(int64_t k, const P* const* x, int64_t column, int64_t columns, P* panel) {
  for (int64_t i = 0; i < k; i += kPairs<P>) {
    const P* second = kPairs<P> == 2 && i + 1 < k ? x[i + 1] + column : nullptr;
    panel_line(x[i] + column, second, columns, panel + i * kWidth);
  }
  const int64_t filled = (k + kPairs<P> - 1) / kPairs<P> * kPairs<P>;
  std::fill(panel + filled * kWidth, panel + layout<P>().panel_size(k), P(0));
}

/// to [columns, depth] = y [k, columns] transposed
template <class P>
void transpose(int64_t k, int64_t columns, const P* y, int64_t stride, P* to, int64_t depth) {
  constexpr int64_t rows = kTile * kPairs<P>;
  const int64_t whole = columns / kTile * kTile;
  int64_t i = 0;
  for (; i + rows <= k; i += rows) {
    for (int64_t j = 0; j < whole; j += kTile) transpose_tile(y + i * stride + j, stride, to + j * depth + i, depth);
    for (int64_t r = i; r < i + rows; ++r) {
      for (int64_t j = whole; j < columns; ++j) to[j * depth + r] = y[r * stride + j];
    }
  }
  for (; i < k; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * depth + i] = y[i * stride + j];
  }
  for (const int64_t all = layout<P>().padded_depth(k); i < all; ++i) {
    for (int64_t j = 0; j < columns; ++j) to[j * depth + i] = P(0);
  }
}

template <class P>
void weight_gradient(int64_t k, int64_t m, const P* y, int64_t stride, const P* next, const P* panels, int64_t n,
                     float* to, bool add) {
  using Kernels = RowProductKernels<P>;
  alignas(kLine) P transposed[Kernels::kMostRows * Kernels::copied_stride(Kernels::kGradientDepth)];
  const P* rows[Kernels::kMostRows];
  const int64_t depth = Kernels::copied_stride(k);
  transpose(k, m, y, stride, transposed, depth);
  for (int64_t i = 0; i < m; ++i) rows[i] = transposed + i * depth;
  const int64_t count = (n + kWidth - 1) / kWidth;
  Prefetch prefetch;
  if (next != nullptr) prefetch = Prefetch(next, m, stride, k, count * fetches<P>(m, k));
  for (int64_t p = 0; p < count; ++p) {
    const int64_t column = p * kWidth, columns = std::min(kWidth, n - column);
    float* to_rows[Kernels::kMostRows];
    for (int64_t i = 0; i < m; ++i) to_rows[i] = to + i * n + column;
    const P* panel = panels + p * layout<P>().panel_size(k);
    if (add) {
      multiply_to<true>(m, k, rows, panel, columns, to_rows, prefetch);
    } else {
      multiply_to<false>(m, k, rows, panel, columns, to_rows, prefetch);
    }
  }
#if defined(HMRNN_TILE_PRODUCTS)
  end_tile_products();
#endif
}

}  // namespace

template <class P>
void set_weight_gradient(RowProductKernels<P>& kernels) {
  kernels.pack_rows = pack_rows<P>;
  kernels.weight_gradient = weight_gradient<P>;
}

#if defined(__AVX512BF16__)
template void set_weight_gradient(RowProductKernels<c10::BFloat16>&);
#else
template void set_weight_gradient(RowProductKernels<float>&);
#endif

}  // namespace HMRNN_ISA
}  // namespace hmrnn::cpu
#endif
