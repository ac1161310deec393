// Compiled once for each instruction set (cmake/CpuKernels.cmake), each under a factory name of its own.

#include <algorithm>
#include <cstring>

#include "hmrnn/ops/cpu/row_product.h"
#include "hmrnn/ops/cpu/vector_row.h"

namespace hmrnn::cpu {

#define HMRNN_JOIN2(a, b) a##b
#define HMRNN_JOIN(a, b) HMRNN_JOIN2(a, b)

#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
namespace {

using V = at::vec::Vectorized<float>;

// Rows × vectors of sums that the registers hold beside a line of the panel: 24 + 4 of AVX-512's 32, 12 + 2 of AVX2's
// 16.
constexpr int kRows = 6;
#if defined(CPU_CAPABILITY_AVX512)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif
constexpr int64_t kWidth = kVectors * V::size();
// What of a panel is multiplied with all rows before the next: it stays in the second-level cache, with what is fetched
// ahead.
constexpr int64_t kBlockBytes = 128 * 1024;
constexpr int64_t kLine = 64;  // bytes of a cache line

/// Walks over the memory that is wanted next, a few lines at a time.
struct Ahead {
  const char* at;
  int64_t lines;  ///< at each of the calls
  void fetch() {
    for (int64_t i = 0; i < lines; ++i) __builtin_prefetch(at + i * kLine, 0, 2);
    at += lines * kLine;
  }
};
constexpr int64_t kBetweenFetches = 8;  // lines of the panel

/// sums [R, kWidth] = x · block, or added to what is there, over k values.
template <int R>
void accumulate(int64_t k, const float* const* x, int64_t from, const float* block, float* sums, bool add,
                Ahead& ahead) {
  V s[R][kVectors];
  const float* row[R];
  for (int r = 0; r < R; ++r) {
    row[r] = x[r] + from;
    for (int v = 0; v < kVectors; ++v) s[r][v] = add ? V::loadu(sums + r * kWidth + v * V::size()) : V(0);
  }
  for (int64_t i = 0; i < k; ++i, block += kWidth) {
    if (ahead.at != nullptr && i % kBetweenFetches == 0) ahead.fetch();
    V b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = V::loadu(block + v * V::size());
    for (int r = 0; r < R; ++r) {
      const V value(row[r][i]);
      for (int v = 0; v < kVectors; ++v) s[r][v] = at::vec::fmadd(value, b[v], s[r][v]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kVectors; ++v) s[r][v].store(sums + r * kWidth + v * V::size());
  }
}

#if defined(__AVX512BF16__)
__m512bh pair(const c10::BFloat16* p, size_t bytes) {
  int both = 0;
  std::memcpy(&both, p, bytes);
  return (__m512bh)_mm512_set1_epi32(both);
}

__m512bh load_pairs(const c10::BFloat16* p) { return (__m512bh)_mm512_loadu_si512(p); }

template <int R>
void accumulate(int64_t k, const c10::BFloat16* const* x, int64_t from, const c10::BFloat16* block, float* sums,
                bool add, Ahead& ahead) {
  __m512 s[R][kVectors];
  const c10::BFloat16* row[R];
  for (int r = 0; r < R; ++r) {
    row[r] = x[r] + from;
    for (int v = 0; v < kVectors; ++v) {
      s[r][v] = add ? _mm512_loadu_ps(sums + r * kWidth + v * 16) : _mm512_setzero_ps();
    }
  }
  for (int64_t i = 0; i < k / 2; ++i, block += 2 * kWidth) {
    if (ahead.at != nullptr && i % kBetweenFetches == 0) ahead.fetch();
    __m512bh b[kVectors];
    for (int v = 0; v < kVectors; ++v) b[v] = load_pairs(block + v * 32);
    for (int r = 0; r < R; ++r) {
      const auto value = pair(row[r] + 2 * i, 4);
      for (int v = 0; v < kVectors; ++v) s[r][v] = _mm512_dpbf16_ps(s[r][v], value, b[v]);
    }
  }
  if (k % 2 == 1) {  // the row ends with half a pair
    for (int r = 0; r < R; ++r) {
      const auto value = pair(row[r] + k - 1, 2);
      for (int v = 0; v < kVectors; ++v) s[r][v] = _mm512_dpbf16_ps(s[r][v], value, load_pairs(block + v * 32));
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(sums + r * kWidth + v * 16, s[r][v]);
  }
}
#endif

template <class P>
void accumulate(int64_t rows, int64_t k, const P* const* x, int64_t from, const P* block, float* sums, bool add,
                Ahead& ahead) {
  switch (rows) {
    case 1:
      return accumulate<1>(k, x, from, block, sums, add, ahead);
    case 2:
      return accumulate<2>(k, x, from, block, sums, add, ahead);
    case 3:
      return accumulate<3>(k, x, from, block, sums, add, ahead);
    case 4:
      return accumulate<4>(k, x, from, block, sums, add, ahead);
    case 5:
      return accumulate<5>(k, x, from, block, sums, add, ahead);
    default:
      return accumulate<kRows>(k, x, from, block, sums, add, ahead);
  }
}

/// sums [m, kWidth] = x · panel
template <class P>
void multiply(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, float* sums) {
  constexpr int64_t line = kWidth * static_cast<int64_t>(sizeof(P));  // bytes of the panel for each k
  constexpr int64_t depth = kBlockBytes / line;                       // k in a block
  constexpr int64_t pairs = std::is_same_v<P, float> ? 1 : 2;         // k between two reads of the panel
  const int64_t blocks = (m + kRows - 1) / kRows;
  // With one block of rows there is nothing to do while memory is waited for.
  const int64_t fetches = blocks * std::max<int64_t>(1, k / pairs / kBetweenFetches);
  const int64_t lines = (k * line / kLine + fetches - 1) / fetches;
  Ahead ahead{blocks > 1 ? reinterpret_cast<const char*>(next) : nullptr, lines};
  for (int64_t from = 0; from < k; from += depth) {
    const int64_t n = std::min(depth, k - from);
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t first = i * m / blocks, rows = (i + 1) * m / blocks - first;
      accumulate(rows, n, x + first, from, panel + from * kWidth, sums + first * kWidth, from > 0, ahead);
    }
  }
}

template <class P>
void forward(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns, P* const* y) {
  alignas(kLine) float sums[RowProductKernels<P>::kMostRows * kWidth];
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < columns; j += kLine / static_cast<int64_t>(sizeof(P))) __builtin_prefetch(y[i] + j, 1, 3);
  }
  multiply(m, k, x, panel, next, sums);
  for (int64_t i = 0; i < m; ++i) {
    cell::VectorRow<float>().each(columns, [&](auto at) { at.store(y[i], at.load(sums + i * kWidth)); });
  }
}

template <class P>
void backward(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns, float* const* y,
              bool add) {
  alignas(kLine) float sums[RowProductKernels<P>::kMostRows * kWidth];
  multiply(m, k, x, panel, next, sums);
  for (int64_t i = 0; i < m; ++i) {
    cell::VectorRow<float>().each(columns, [&](auto at) {
      const V sum = at.load(sums + i * kWidth);
      add ? at.add(y[i], sum) : at.store(y[i], sum);
    });
  }
}

/// Value by value: what the vectors leave over. Values of k of which there are `pairs` lie beside each other.
template <class P>
void put(P* panel, int64_t i, int64_t j, float value) {
  constexpr int64_t pairs = std::is_same_v<P, float> ? 1 : 2;
  panel[(i / pairs * kWidth + j) * pairs + i % pairs] = static_cast<P>(value);
}

constexpr int64_t kTile = 16;  // lines and values of 4 bytes that are transposed at a time

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

#if defined(__AVX512BF16__)
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

/// Two lines of the weight, of kWidth columns, as one of pairs.
void pack_line(const float* weight, int64_t stride, int64_t, c10::BFloat16* line) {
  for (int v = 0; v < kVectors; ++v) {
    const auto half = [&](const float* from) {
      return _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + v * 16)));
    };
    _mm512_storeu_si512(line + v * 32, _mm512_or_si512(half(weight), _mm512_slli_epi32(half(weight + stride), 16)));
  }
}
#endif

template <class P>
void pack(const float* weight, int64_t stride, bool transposed, int64_t k, int64_t columns, P* panel) {
  constexpr int64_t pairs = std::is_same_v<P, float> ? 1 : 2;
  if (columns < kWidth || k % pairs != 0) std::fill_n(panel, (k + pairs - 1) / pairs * pairs * kWidth, P(0));
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
  return {kWidth, pack<P>, forward<P>, backward<P>};
}

}  // namespace
#endif

#define HMRNN_FACTORY HMRNN_JOIN(row_product_kernels_, CPU_CAPABILITY)

void HMRNN_FACTORY([[maybe_unused]] AllRowProductKernels& all) {
#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
  all.float32 = make<float>();
#endif
#if defined(__AVX512BF16__)
  all.bfloat16 = make<c10::BFloat16>();
#endif
}

}  // namespace hmrnn::cpu
