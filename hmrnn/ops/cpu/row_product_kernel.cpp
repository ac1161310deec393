// Compiled once for each instruction set (cmake/CpuKernels.cmake), each under a factory name of its own.

#include "hmrnn/ops/cpu/kernel_factory.h"
#include "hmrnn/ops/cpu/row_product_panel.h"

namespace hmrnn::cpu {

#ifdef HMRNN_ROW_PRODUCTS
namespace {

/// Prefetch of the next panel during the product with this one. With one block of rows there is too little computation
/// to hide memory latency.
template <class P>
Prefetch panel_ahead(int64_t m, int64_t k, const P* next) {
  if (next == nullptr || row_blocks(m) == 1) return {};
  return {next, layout<P>().panel_size(k), 0, 1, fetches<P>(m, k)};
}

template <class P>
void forward(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns, P* const* y) {
  auto prefetch = panel_ahead(m, k, next);
  multiply_to<false>(m, k, x, panel, columns, y, prefetch);
}

template <class P>
void backward(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns, float* const* y,
              bool add) {
  auto prefetch = panel_ahead(m, k, next);
  if (add) return multiply_to<true>(m, k, x, panel, columns, y, prefetch);
  multiply_to<false>(m, k, x, panel, columns, y, prefetch);
}

/// Stores a single value: for the rest that does not fill vectors.
template <class P>
void put(P* panel, int64_t i, int64_t j, float value) {
  constexpr int64_t pairs = kPairs<P>;
  panel[(i / pairs * kWidth + j) * pairs + i % pairs] = static_cast<P>(value);
}

#if defined(__AVX512BF16__)
/// B(i, j) = weight[j·stride + i] for kTile columns.
void pack_transposed(const float* weight, int64_t stride, int64_t k, c10::BFloat16* panel) {
  alignas(kLine) c10::BFloat16 tile[kTile][2 * kTile];
  int64_t i = 0;
  for (; i + 2 * kTile <= k; i += 2 * kTile) {
    for (int64_t j = 0; j < kTile; ++j) {
      const float* from = weight + j * stride + i;
      _mm512_store_si512(tile[j], (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(from + 16), _mm512_loadu_ps(from)));
    }
    at::vec::transpose_mxn<float, kTile, kTile>(reinterpret_cast<const float*>(tile), kTile,
                                                reinterpret_cast<float*>(panel + i * kWidth), kWidth);
  }
  for (; i < k; ++i) {
    for (int64_t j = 0; j < kTile; ++j) put(panel, i, j, weight[j * stride + i]);
  }
}

/// Packs two lines of the weight, of kWidth columns, as one line of pairs.
void pack_line(const float* weight, int64_t stride, int64_t, c10::BFloat16* line) {
  for (int v = 0; v < kVectors; ++v) {
    const auto round = [&](const float* from) { return (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + v * 16)); };
    _mm512_storeu_si512(line + v * 32, interleave(round(weight), round(weight + stride)));
  }
}
#else
/// B(i, j) = weight[j·stride + i] for kTile columns.
void pack_transposed(const float* weight, int64_t stride, int64_t k, float* panel) {
  int64_t i = 0;
  for (; i + kTile <= k; i += kTile) {
    at::vec::transpose_mxn<float, kTile, kTile>(weight + i, stride, panel + i * kWidth, kWidth);
  }
  for (; i < k; ++i) {
    for (int64_t j = 0; j < kTile; ++j) put(panel, i, j, weight[j * stride + i]);
  }
}

void pack_line(const float* weight, int64_t, int64_t columns, float* line) {
  std::memcpy(line, weight, static_cast<size_t>(columns) * sizeof(float));
}
#endif

template <class P>
void pack(const float* weight, int64_t stride, bool transposed, int64_t k, int64_t columns, P* panel) {
  constexpr int64_t pairs = kPairs<P>;
  if (columns < kWidth || k != layout<P>().padded_depth(k)) std::fill_n(panel, layout<P>().panel_size(k), P(0));
  if (transposed) {
    int64_t j = 0;
    for (; j + kTile <= columns; j += kTile) pack_transposed(weight + j * stride, stride, k, panel + j * pairs);
    for (; j < columns; ++j) {
      for (int64_t i = 0; i < k; ++i) put(panel, i, j, weight[j * stride + i]);
    }
    return;
  }
  int64_t i = 0;
  if (columns == kWidth) {
    for (; i + pairs <= k; i += pairs) pack_line(weight + i * stride, stride, columns, panel + i * kWidth);
  }
  for (; i < k; ++i) {
    for (int64_t j = 0; j < columns; ++j) put(panel, i, j, weight[i * stride + j]);
  }
}

template <class P>
RowProductKernels<P> make() {
  auto kernels = layout<P>();
  kernels.pack = pack<P>;
  kernels.forward = forward<P>;
  kernels.backward = backward<P>;
#if defined(HMRNN_TILE_PRODUCTS)
  kernels.ordered = true;
  kernels.end = end_tile_products;
#endif
  set_weight_gradient(kernels);
  return kernels;
}

}  // namespace
#endif

void HMRNN_FACTORY(row_product_kernels)([[maybe_unused]] AllRowProductKernels& all) {
#if defined(__AVX512BF16__)
  all.bfloat16 = make<c10::BFloat16>();
#elif defined(HMRNN_ROW_PRODUCTS)
  all.float32 = make<float>();
#endif
}

}  // namespace hmrnn::cpu
