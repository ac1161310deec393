#pragma once

// The inner loops of row_product.h, for the instruction set this file is compiled for: a few rows times a panel of a
// packed matrix. To be included by *_kernel.cpp files only (cmake/CpuKernels.cmake).

#include <algorithm>
#include <cstring>

#include "hmrnn/ops/cpu/register_tile.h"
#include "hmrnn/ops/cpu/row_product.h"
#include "hmrnn/ops/cpu/tile_product.h"
#include "hmrnn/ops/cpu/vector_row.h"

#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
#define HMRNN_ROW_PRODUCTS 1

namespace hmrnn::cpu {
inline namespace HMRNN_ISA {

using V = at::vec::Vectorized<float>;

// Register tile: sums of kRows rows × kVectors vectors, beside one line of the panel: 24 + 4 of AVX-512's 32 registers,
// 12 + 2 of AVX2's 16.
constexpr int kRows = 6;
#if defined(CPU_CAPABILITY_AVX512)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif
constexpr int64_t kWidth = kVectors * V::size();
// Block of a panel that is multiplied with all rows before the next one, so that it stays in the second-level cache
// together with what is prefetched.
constexpr int64_t kBlockBytes = 256 * 1024;
constexpr int64_t kLine = 64;  // bytes of a cache line

/// Values of k in such a block.
template <class P>
constexpr int64_t kBlockDepth = kBlockBytes / (kWidth * static_cast<int64_t>(sizeof(P)));

/// Prefetches memory a few cache lines at a time: `runs` runs of `run` bytes, `stride` bytes apart.
struct Prefetch {
  const char* at = nullptr;
  int64_t run = 0, stride = 0, runs = 0;
  int64_t lines = 0;  ///< prefetched by each call
  int64_t done = 0;   ///< bytes of the current run

  Prefetch() = default;
  /// fetch() is to be called `calls` times.
  template <class P>
  Prefetch(const P* first, int64_t values, int64_t row_length, int64_t rows, int64_t calls)
      : at(reinterpret_cast<const char*>(first)),
        run(values * static_cast<int64_t>(sizeof(P))),
        stride(row_length * static_cast<int64_t>(sizeof(P))),
        runs(rows),
        lines(((run + kLine - 1) / kLine * rows + calls - 1) / std::max<int64_t>(calls, 1)) {}

  void fetch() {
    for (int64_t i = 0; i < lines && runs > 0; ++i) {
      __builtin_prefetch(at + done, 0, 2);
      done += kLine;
      if (done >= run) done = 0, at += stride, --runs;
    }
  }
};
constexpr int64_t kBetweenFetches = 8;  // lines of a panel

constexpr int64_t kTile = 16;  // rows and columns of a tile of 4-byte values that is transposed at a time

/// put(r, v, sum) for each of the R rows x · block, kVectors vectors each, summed over k values and added to `begun`
/// [R, kWidth] if that is not null.
template <int R, class Put>
void accumulate(int64_t k, const float* const* x, int64_t from, const float* block, const float* begun,
                Prefetch& prefetch, Put put) {
  V s[R][kVectors];
  const float* row[R];
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    row[r] = x[r] + from;
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) s[r][v] = begun != nullptr ? V::loadu(begun + r * kWidth + v * V::size()) : V(0);
  }
  for (int64_t i = 0; i < k; ++i, block += kWidth) {
    if (prefetch.runs > 0 && i % kBetweenFetches == 0) prefetch.fetch();
    V b[kVectors];
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) b[v] = V::loadu(block + v * V::size());
    HMRNN_UNROLL_TILE
    for (int r = 0; r < R; ++r) {
      const V value(row[r][i]);
      HMRNN_UNROLL_TILE
      for (int v = 0; v < kVectors; ++v) s[r][v] = at::vec::fmadd(value, b[v], s[r][v]);
    }
  }
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) put(r, v, s[r][v]);
  }
}

#if defined(__AVX512BF16__)
#if defined(HMRNN_WIDE_PRODUCTS)
/// to [⌈k/2⌉·2] = row [k] as float32, then a zero if k is odd
inline void widen(int64_t k, const c10::BFloat16* row, float* to) {
  int64_t i = 0;
  for (; i + 16 <= k; i += 16) {
    const auto values = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + i));
    _mm512_store_ps(to + i, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16)));
  }
  for (; i < k; ++i) to[i] = static_cast<float>(row[i]);
  if (k % 2 == 1) to[k] = 0;
}

constexpr int64_t kWideRow = kBlockDepth<c10::BFloat16> + kTile;  // so that rows are not all in the same cache sets

/// The first or the second values of 16 pairs, which are the upper halves of float32.
inline __m512 widened(bool second, const c10::BFloat16* pairs) {
  constexpr __mmask32 kUpper = 0xAAAAAAAA;
  return _mm512_castsi512_ps(second ? _mm512_maskz_loadu_epi16(kUpper, pairs)
                                    : _mm512_slli_epi32(_mm512_loadu_si512(pairs), 16));
}

/// By float32 instructions, for CPUs on which those for bfloat16 do half as many multiplications in the same time: each
/// pair of the panel is widened to its first and its second value where it is loaded.
template <int R, class Put>
void accumulate(int64_t k, const c10::BFloat16* const* x, int64_t from, const c10::BFloat16* block, const float* begun,
                Prefetch& prefetch, Put put) {
  alignas(kLine) float rows[R][kWideRow];
  for (int r = 0; r < R; ++r) widen(k, x[r] + from, rows[r]);
  __m512 s[R][kVectors];
  const float* row[R];
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    row[r] = rows[r];
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) {
      s[r][v] = begun != nullptr ? _mm512_loadu_ps(begun + r * kWidth + v * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k; i += 2, block += 2 * kWidth) {
    if (prefetch.runs > 0 && i % (2 * kBetweenFetches) == 0) prefetch.fetch();
    HMRNN_UNROLL_TILE
    for (int second = 0; second < 2; ++second) {
      __m512 b[kVectors];
      HMRNN_UNROLL_TILE
      for (int v = 0; v < kVectors; ++v) b[v] = widened(second == 1, block + v * 32);
      HMRNN_UNROLL_TILE
      for (int r = 0; r < R; ++r) {
        const auto value = _mm512_set1_ps(row[r][i + second]);
        HMRNN_UNROLL_TILE
        for (int v = 0; v < kVectors; ++v) s[r][v] = _mm512_fmadd_ps(value, b[v], s[r][v]);
      }
    }
  }
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) put(r, v, V(s[r][v]));
  }
}
#else
inline __m512bh pair(const c10::BFloat16* p, size_t bytes) {
  int both = 0;
  std::memcpy(&both, p, bytes);
  return (__m512bh)_mm512_set1_epi32(both);
}

inline __m512bh load_pairs(const c10::BFloat16* p) { return (__m512bh)_mm512_loadu_si512(p); }

template <int R, class Put>
void accumulate(int64_t k, const c10::BFloat16* const* x, int64_t from, const c10::BFloat16* block, const float* begun,
                Prefetch& prefetch, Put put) {
  __m512 s[R][kVectors];
  const c10::BFloat16* row[R];
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    row[r] = x[r] + from;
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) {
      s[r][v] = begun != nullptr ? _mm512_loadu_ps(begun + r * kWidth + v * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k / 2; ++i, block += 2 * kWidth) {
    if (prefetch.runs > 0 && i % kBetweenFetches == 0) prefetch.fetch();
    __m512bh b[kVectors];
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) b[v] = load_pairs(block + v * 32);
    HMRNN_UNROLL_TILE
    for (int r = 0; r < R; ++r) {
      const auto value = pair(row[r] + 2 * i, 4);
      HMRNN_UNROLL_TILE
      for (int v = 0; v < kVectors; ++v) s[r][v] = _mm512_dpbf16_ps(s[r][v], value, b[v]);
    }
  }
  if (k % 2 == 1) {  // the row ends with half a pair
    HMRNN_UNROLL_TILE
    for (int r = 0; r < R; ++r) {
      const auto value = pair(row[r] + k - 1, 2);
      HMRNN_UNROLL_TILE
      for (int v = 0; v < kVectors; ++v) s[r][v] = _mm512_dpbf16_ps(s[r][v], value, load_pairs(block + v * 32));
    }
  }
  HMRNN_UNROLL_TILE
  for (int r = 0; r < R; ++r) {
    HMRNN_UNROLL_TILE
    for (int v = 0; v < kVectors; ++v) put(r, v, V(s[r][v]));
  }
}
#endif
#endif

template <class P, class Put>
void accumulate(int64_t rows, int64_t k, const P* const* x, int64_t from, const P* block, const float* begun,
                Prefetch& prefetch, Put put) {
  switch (rows) {
    case 1:
      return accumulate<1>(k, x, from, block, begun, prefetch, put);
    case 2:
      return accumulate<2>(k, x, from, block, begun, prefetch, put);
    case 3:
      return accumulate<3>(k, x, from, block, begun, prefetch, put);
    case 4:
      return accumulate<4>(k, x, from, block, begun, prefetch, put);
    case 5:
      return accumulate<5>(k, x, from, block, begun, prefetch, put);
    default:
      return accumulate<kRows>(k, x, from, block, begun, prefetch, put);
  }
}

template <class P>
constexpr int64_t kPairs = RowProductKernels<P>::kPairs;

/// The kernels without their functions.
template <class P>
constexpr RowProductKernels<P> layout() {
#if defined(HMRNN_TILE_PRODUCTS)
  return {.width = kWidth, .depth_unit = kTileDepth};
#else
  return {.width = kWidth};
#endif
}

inline int64_t row_blocks(int64_t m) { return (m + kRows - 1) / kRows; }

/// How often multiply prefetches.
template <class P>
int64_t fetches(int64_t m, int64_t k) {
  return row_blocks(m) * std::max<int64_t>(1, k / kPairs<P> / kBetweenFetches);
}

/// Prefetches `columns` values of a row that will be written.
template <class Y>
void prefetch_to_write(const Y* y, int64_t columns) {
  for (int64_t j = 0; j < columns; j += kLine / static_cast<int64_t>(sizeof(Y))) __builtin_prefetch(y + j, 1, 2);
}

/// put(i, v, sum) of x · panel for m rows x_i of k values, a vector at a time. prefetch_output(i) is called before the
/// last sums of row i are computed, early enough for what put will write.
template <class P, class Output, class Put>
void multiply(int64_t m, int64_t k, const P* const* x, const P* panel, Prefetch& prefetch, Output prefetch_output,
              Put put) {
  constexpr int64_t depth = kBlockDepth<P>;
  alignas(kLine) float sums[RowProductKernels<P>::kMostRows * kWidth];
  const int64_t blocks = row_blocks(m);
  for (int64_t from = 0; from < k; from += depth) {
    const int64_t n = std::min(depth, k - from);
    const P* block = panel + from * kWidth;
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t first = i * m / blocks, rows = (i + 1) * m / blocks - first;
      float* of_block = sums + first * kWidth;
      const float* begun = from > 0 ? of_block : nullptr;
      if (from + n < k) {
        accumulate(rows, n, x + first, from, block, begun, prefetch,
                   [&](int r, int v, V sum) { sum.store(of_block + r * kWidth + v * V::size()); });
      } else {
        for (int64_t r = 0; r < rows; ++r) prefetch_output(first + r);
        accumulate(rows, n, x + first, from, block, begun, prefetch,
                   [&](int r, int v, V sum) { put(first + r, v, sum); });
      }
    }
  }
}

#if defined(HMRNN_TILE_PRODUCTS)
/// The same with the tiles of AMX, for rows as RowProductKernels::ordered has them. It does not prefetch.
template <class Output, class Put>
void multiply(int64_t m, int64_t k, const c10::BFloat16* const* x, const c10::BFloat16* panel, Prefetch& prefetch,
              Output prefetch_output, Put put) {
  if (!tile_products_enabled()) {
    return multiply<c10::BFloat16, Output, Put>(m, k, x, panel, prefetch, prefetch_output, put);
  }
  alignas(kLine) float sums[RowProductKernels<c10::BFloat16>::kMostRows * kWidth];
  const int64_t depth = layout<c10::BFloat16>().padded_depth(k);
  tile_product(m, depth, x[0], m > 1 ? x[1] - x[0] : depth, panel, kWidth, sums);
  for (int64_t r = 0; r < m; ++r) {
    for (int v = 0; v < kVectors; ++v) put(r, v, V::loadu(sums + r * kWidth + v * V::size()));
  }
}
#endif

/// y_i = x · panel for m rows x_i of k values, of which the first `columns` are stored; added to what is there if `add`
template <bool add, class P, class Y>
void multiply_to(int64_t m, int64_t k, const P* const* x, const P* panel, int64_t columns, Y* const* y,
                 Prefetch& prefetch) {
  const auto put = [](auto at, Y* to, V sum) {
    if constexpr (add) {
      at.add(to, sum);
    } else {
      at.store(to, sum);
    }
  };
  const auto prefetch_output = [&](int64_t i) { prefetch_to_write(y[i], columns); };
  using Row = cell::VectorRow<float>;
  if (columns == kWidth) {
    return multiply(m, k, x, panel, prefetch, prefetch_output,
                    [&](int64_t i, int v, V sum) { put(Row::Full{v * V::size()}, y[i], sum); });
  }
  multiply(m, k, x, panel, prefetch, prefetch_output, [&](int64_t i, int v, V sum) {
    const int64_t j = v * V::size(), left = std::min<int64_t>(columns - j, V::size());
    if (left == V::size()) {
      put(Row::Full{j}, y[i], sum);
    } else if (left > 0) {
      put(Row::Tail{j, left}, y[i], sum);
    }
  });
}

#if defined(__AVX512BF16__)
/// Interleaves 16 values of `first` and 16 of `second` as pairs.
inline __m512i interleave(__m256i first, __m256i second) {
  return _mm512_or_si512(_mm512_cvtepu16_epi32(first), _mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
}
#endif

/// row_product_gradient_kernel.cpp's part of the kernels.
template <class P>
void set_weight_gradient(RowProductKernels<P>& kernels);

}  // namespace HMRNN_ISA
}  // namespace hmrnn::cpu
#endif
