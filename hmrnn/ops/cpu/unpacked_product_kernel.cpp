// Compiled once for each instruction set (cmake/CpuKernels.cmake), each under a factory name of its own.

#include <ATen/cpu/vec/vec.h>

#include <algorithm>

#include "hmrnn/ops/cpu/kernel_factory.h"
#include "hmrnn/ops/cpu/register_tile.h"
#include "hmrnn/ops/cpu/unpacked_product.h"

namespace hmrnn::cpu {

#if !defined(__AVX512BF16__)  // these do not use bfloat16 instructions: the build for AVX-512 has them
namespace {

template <class T>
using Vec = at::vec::Vectorized<T>;

// Register tile: sums of kRows rows of M × kTogether rows of x, beside a vector of each x and one of M: 24 + 6 + 1 of
// AVX-512's 32, 12 + 3 + 1 of AVX2's 16. A single row of x is multiplied with twice as many rows of M: an addition to
// the same sum has a latency of four cycles, in which a core adds eight vectors.
constexpr int kRows = 4;
#if defined(CPU_CAPABILITY_AVX512)
constexpr int kTogether = 6;
#else
constexpr int kTogether = 3;
#endif
constexpr int64_t kBlock = 2 * kRows;  // rows of M that stay in the first-level cache for all rows of x

/// to[i] = the sum of the lanes of s[i], for four vectors, each in the same order.
#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
void sum_lanes(__m256 a, __m256 b, __m256 c, __m256 d, float* to) {
  const __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1)));
}
void sum_lanes(__m256d a, __m256d b, __m256d c, __m256d d, double* to) {
  const __m256d ab = _mm256_hadd_pd(a, b), cd = _mm256_hadd_pd(c, d);
  _mm256_storeu_pd(to, _mm256_add_pd(_mm256_permute2f128_pd(ab, cd, 0x20), _mm256_permute2f128_pd(ab, cd, 0x31)));
}
#if defined(CPU_CAPABILITY_AVX512)
__m256 halves(__m512 x) { return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)); }
__m256d halves(__m512d x) { return _mm256_add_pd(_mm512_castpd512_pd256(x), _mm512_extractf64x4_pd(x, 1)); }
template <class T>
void sum_lanes(const Vec<T>* s, T* to) {
  const auto half = [&](int i) {
    if constexpr (sizeof(T) == 4) {
      return halves(static_cast<__m512>(s[i]));
    } else {
      return halves(static_cast<__m512d>(s[i]));
    }
  };
  sum_lanes(half(0), half(1), half(2), half(3), to);
}
#else
void sum_lanes(const Vec<float>* s, float* to) {
  sum_lanes(__m256(s[0]), __m256(s[1]), __m256(s[2]), __m256(s[3]), to);
}
void sum_lanes(const Vec<double>* s, double* to) {
  sum_lanes(__m256d(s[0]), __m256d(s[1]), __m256d(s[2]), __m256d(s[3]), to);
}
#endif
#else
template <class T>
void sum_lanes(const Vec<T>* s, T* to) {
  for (int i = 0; i < 4; ++i) {
    T lanes[Vec<T>::size()];
    s[i].store(lanes);
    for (int half = Vec<T>::size() / 2; half > 0; half /= 2) {
      for (int k = 0; k < half; ++k) lanes[k] += lanes[k + half];
    }
    to[i] = lanes[0];
  }
}
#endif

/// Prefetches the next rows of M, some lines at a time.
struct Ahead {
  const char *at = nullptr, *end = nullptr;
  int64_t lines = 0;  ///< of each call

  void fetch() {
    for (int64_t i = 0; i < lines && at < end; ++i, at += 64) __builtin_prefetch(at, 0, 2);
  }
};
constexpr int64_t kBetweenFetches = 8;  // vectors of a row

/// y_k[r, r + R) for the R rows `matrix` of M, from row r on, and K rows x_k
template <int R, int K, class T>
void tile(int64_t n, const T* matrix, const T* const* x, int64_t r, T* const* y, Ahead& ahead) {
  using V = Vec<T>;
  V s[K][R];
  const T* row[K];
  HMRNN_UNROLL_TILE
  for (int k = 0; k < K; ++k) {
    row[k] = x[k];
    HMRNN_UNROLL_TILE
    for (int i = 0; i < R; ++i) s[k][i] = V(T(0));
  }
  const auto add = [&](auto load) {
    V xs[K];
    HMRNN_UNROLL_TILE
    for (int k = 0; k < K; ++k) xs[k] = load(row[k]);
    HMRNN_UNROLL_TILE
    for (int i = 0; i < R; ++i) {
      const V m = load(matrix + i * n);
      HMRNN_UNROLL_TILE
      for (int k = 0; k < K; ++k) s[k][i] = at::vec::fmadd(m, xs[k], s[k][i]);
    }
  };
  int64_t j = 0;
  for (; j + V::size() <= n; j += V::size()) {
    if (ahead.lines > 0 && j % (kBetweenFetches * V::size()) == 0) ahead.fetch();
    add([j](const T* p) { return V::loadu(p + j); });
  }
  if (j < n) add([j, n](const T* p) { return V::loadu(p + j, n - j); });
  HMRNN_UNROLL_TILE
  for (int k = 0; k < K; ++k) {
    if constexpr (R % 4 == 0) {
      HMRNN_UNROLL_TILE
      for (int i = 0; i < R; i += 4) sum_lanes(s[k] + i, y[k] + r + i);
    } else {
      V padded[4] = {V(T(0)), V(T(0)), V(T(0)), V(T(0))};
      T sums[4];
      HMRNN_UNROLL_TILE
      for (int i = 0; i < R; ++i) padded[i] = s[k][i];
      sum_lanes(padded, sums);
      std::copy_n(sums, R, y[k] + r);
    }
  }
}

/// `rows` ≤ kBlock rows of M from r on and K rows x_i
template <int K, class T>
void block(int64_t rows, int64_t n, const T* matrix, const T* const* x, int64_t r, T* const* y, Ahead& ahead) {
  int64_t i = 0;
  if constexpr (K == 1) {
    for (; i + kBlock <= rows; i += kBlock) tile<kBlock, K>(n, matrix + i * n, x, r + i, y, ahead);
  }
  for (; i + kRows <= rows; i += kRows) tile<kRows, K>(n, matrix + i * n, x, r + i, y, ahead);
  for (; i < rows; ++i) tile<1, K>(n, matrix + i * n, x, r + i, y, ahead);
}

template <class T>
void multiply(const UnpackedProduct<T>& p, int64_t begin, int64_t end) {
  const int64_t groups = (p.m + kTogether - 1) / kTogether;
  for (int64_t r = begin; r < end; r += kBlock) {
    const int64_t rows = std::min(kBlock, end - r), next = std::min(kBlock, end - r - rows);
    const T* matrix = p.matrix + r * p.n;
    Ahead ahead;
    if (p.m > 1) {  // with one row M is read once, sequentially: the hardware prefetches it
      ahead.at = reinterpret_cast<const char*>(matrix + rows * p.n);
      ahead.end = reinterpret_cast<const char*>(matrix + (rows + next) * p.n);
      const int64_t calls = groups * (kBlock / kRows) * std::max<int64_t>(1, p.n / Vec<T>::size() / kBetweenFetches);
      ahead.lines = ((ahead.end - ahead.at) / 64 + calls - 1) / calls;
    }
    for (int64_t g = 0; g < groups; ++g) {
      const int64_t first = g * p.m / groups;
      const T* const* x = p.x + first;
      T* const* y = p.y + first;
      switch ((g + 1) * p.m / groups - first) {
        case 1:
          block<1>(rows, p.n, matrix, x, r, y, ahead);
          break;
        case 2:
          block<2>(rows, p.n, matrix, x, r, y, ahead);
          break;
#if defined(CPU_CAPABILITY_AVX512)
        case 3:
          block<3>(rows, p.n, matrix, x, r, y, ahead);
          break;
        case 4:
          block<4>(rows, p.n, matrix, x, r, y, ahead);
          break;
        case 5:
          block<5>(rows, p.n, matrix, x, r, y, ahead);
          break;
#endif
        default:
          block<kTogether>(rows, p.n, matrix, x, r, y, ahead);
      }
    }
  }
}

}  // namespace
#endif

void HMRNN_FACTORY(unpacked_product_kernels)([[maybe_unused]] AllUnpackedProductKernels& all) {
#if !defined(__AVX512BF16__)
  all.float32.multiply = multiply<float>;
  all.float64.multiply = multiply<double>;
#endif
}

}  // namespace hmrnn::cpu
