#pragma once

// The Row policy of cell_math.h for one CPU thread: vector registers of the instruction set this file is compiled for.
// To be included by *_kernel.cpp files only (cmake/CpuKernels.cmake).

#include <ATen/cpu/vec/vec.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "hmrnn/ops/cell_math.h"
#include "hmrnn/ops/cpu/row_prefetch.h"

namespace hmrnn::cell {
inline namespace HMRNN_ISA {

/// V::size() values of bfloat16, widened, and back, rounded to the nearest.
inline at::vec::Vectorized<float> load_bfloat16(const c10::BFloat16* p) {
#if defined(CPU_CAPABILITY_AVX512)
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#elif defined(CPU_CAPABILITY_AVX2)
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
#else
  constexpr int n = at::vec::Vectorized<float>::size();
  float wide[n];
  for (int i = 0; i < n; ++i) wide[i] = p[i];
  return at::vec::Vectorized<float>::loadu(wide);
#endif
}
inline void store_bfloat16(c10::BFloat16* p, at::vec::Vectorized<float> v) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh(v));
#elif defined(CPU_CAPABILITY_AVX512)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), at::vec::cvtfp32_bf16(v));
#elif defined(CPU_CAPABILITY_AVX2)
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), at::vec::cvtfp32_bf16(v));
#else
  constexpr int n = at::vec::Vectorized<float>::size();
  float wide[n];
  v.store(wide);
  for (int i = 0; i < n; ++i) p[i] = wide[i];
#endif
}

#if defined(CPU_CAPABILITY_AVX512)
/// σ(x) = 1 / (1 + 2^(-x log2 e)) with an error below 1e-6 (tests/ops/test_cell_kernel.cpp). The polynomial for the
/// fractional part of the exponent (minimax on [-½, ½], 7.5e-8) is evaluated in pairs, so that few of its steps depend
/// on each other.
HMRNN_INLINE at::vec::Vectorized<float> fast_sigmoid(at::vec::Vectorized<float> x) {
  const auto all = [](float value) { return _mm512_set1_ps(value); };
  __m512 t = _mm512_mul_ps(x, all(-1.44269504f));
  // Beyond ±126 the sum is 1 or the power itself, and stays finite. (A NaN is the second operand, and so the result.)
  t = _mm512_min_ps(all(126.0f), _mm512_max_ps(all(-126.0f), t));
  const __m512 whole = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 r = _mm512_sub_ps(t, whole);
  const __m512 square = _mm512_mul_ps(r, r);
  const __m512 low = _mm512_fmadd_ps(all(0.693146967f), r, all(1.00000007f));
  const __m512 middle = _mm512_fmadd_ps(all(0.0555071327f), r, all(0.240221197f));
  const __m512 high = _mm512_fmadd_ps(all(0.00132764722f), r, all(0.00967554133f));
  const __m512 power = _mm512_fmadd_ps(_mm512_fmadd_ps(high, square, middle), square, low);
  return _mm512_div_ps(all(1.0f), _mm512_add_ps(_mm512_scalef_ps(power, whole), all(1.0f)));
}
#endif

/// Vectors of as many unit numbers as Vectorized<T> has values, and of as many integers of T's size. (at::vec has no
/// such type for each T; these are the compiler's own vectors.)
template <class T>
struct UnitVectors;
template <>
struct UnitVectors<float> {
  typedef uint32_t Units __attribute__((vector_size(sizeof(at::vec::Vectorized<float>))));
  typedef int32_t Lanes __attribute__((vector_size(sizeof(at::vec::Vectorized<float>))));
};
template <>
struct UnitVectors<double> {
  typedef uint32_t Units __attribute__((vector_size(sizeof(at::vec::Vectorized<double>) / 2)));
  typedef int64_t Lanes __attribute__((vector_size(sizeof(at::vec::Vectorized<double>))));
};

/// dropout.factor of the units from j on
template <class T>
HMRNN_INLINE at::vec::Vectorized<T> dropout_factors(const Dropout<T>& dropout, int64_t j) {
  using Lanes = typename UnitVectors<T>::Lanes;
  typename UnitVectors<T>::Units units;
  for (int i = 0; i < at::vec::Vectorized<T>::size(); ++i) units[i] = static_cast<uint32_t>(i);
  units += static_cast<uint32_t>(j);
  unit_bits(units, dropout.first, dropout.second);
  std::conditional_t<sizeof(T) == 4, int32_t, int64_t> scale;
  std::memcpy(&scale, &dropout.scale, sizeof scale);
  const Lanes kept = __builtin_convertvector(units >= dropout.threshold, Lanes) & scale;  // all bits of scale, or none
  return at::vec::Vectorized<T>::loadu(&kept);
}

template <class Scalar>
struct VectorRow {
  using T = Scalar;
  using V = at::vec::Vectorized<T>;
#if defined(__SANITIZE_ADDRESS__) || \
    (defined(__x86_64__) && !defined(CPU_CAPABILITY_AVX2) && !defined(CPU_CAPABILITY_AVX512))
  static constexpr bool kUnswitch = false;  // a copy of each loop takes the compiler minutes (cell_kernel.cpp)
#else
  static constexpr bool kUnswitch = true;
#endif

  cpu::RowPrefetch* prefetch = nullptr;  ///< rows to prefetch meanwhile, or null
  void fetch() const {
    if (prefetch != nullptr) prefetch->fetch();
  }

  struct Full {
    int64_t j;
    V load(const T* p) const { return V::loadu(p + j); }
    void store(T* p, V v) const { v.store(p + j); }
    V load(const c10::BFloat16* p) const { return load_bfloat16(p + j); }
    void store(c10::BFloat16* p, V v) const { store_bfloat16(p + j, v); }
    void add(T* p, V v) const { (V::loadu(p + j) + v).store(p + j); }
    V factors(const Dropout<T>& dropout) const { return dropout_factors(dropout, j); }
  };
  struct Tail {
    int64_t j;
    int64_t count;
    V load(const T* p) const { return V::loadu(p + j, count); }
    void store(T* p, V v) const { v.store(p + j, count); }
    V load(const c10::BFloat16* p) const {
      c10::BFloat16 whole[V::size()] = {};
      std::copy(p + j, p + j + count, whole);
      return load_bfloat16(whole);
    }
    void store(c10::BFloat16* p, V v) const {
      c10::BFloat16 whole[V::size()];
      store_bfloat16(whole, v);
      std::copy(whole, whole + count, p + j);
    }
    void add(T* p, V v) const { (V::loadu(p + j, count) + v).store(p + j, count); }
    V factors(const Dropout<T>& dropout) const { return dropout_factors(dropout, j); }
  };

  template <class F>
  void each(int64_t n, F f) const {
    int64_t j = 0;
    for (; j + 2 * V::size() <= n; j += 2 * V::size()) {
      f(Full{j});
      f(Full{j + V::size()});
      fetch();
    }
    if (j + V::size() <= n) {
      f(Full{j});
      j += V::size();
    }
    if (j < n) f(Tail{j, n - j});
  }

  template <int K, class F>
  std::array<T, K> sums(int64_t n, F f) const {
    // Several partial sums of each kind, added at the end: an addition does not wait for the one before.
    constexpr int kChains = K == 1 ? 4 : K <= 4 ? 2 : 1;
    std::array<V, K> total, chains[kChains];
    for (auto& chain : chains) chain.fill(V(T(0)));
    int64_t j = 0;
    for (; j + kChains * V::size() <= n; j += kChains * V::size()) {
      for (int c = 0; c < kChains; c += 2) fetch();
      for (int c = 0; c < kChains; ++c) {
        const std::array<V, K> x = f(Full{j + c * V::size()});
        for (int k = 0; k < K; ++k) chains[c][k] = chains[c][k] + x[k];
      }
    }
    total = chains[0];
    for (int c = 1; c < kChains; ++c) {
      for (int k = 0; k < K; ++k) total[k] = total[k] + chains[c][k];
    }
    for (; j + V::size() <= n; j += V::size()) {
      const std::array<V, K> x = f(Full{j});
      for (int k = 0; k < K; ++k) total[k] = total[k] + x[k];
    }
    if (j < n) {
      const std::array<V, K> x = f(Tail{j, n - j});
      for (int k = 0; k < K; ++k) total[k] = total[k] + V::set(V(T(0)), x[k], n - j);
    }
    std::array<T, K> out;
    for (int k = 0; k < K; ++k) {
      T lanes[V::size()];
      total[k].store(lanes);
      T s = 0;
      for (int64_t i = 0; i < V::size(); ++i) s += lanes[i];
      out[k] = s;
    }
    return out;
  }

  V sigmoid(V x) const {
#if defined(CPU_CAPABILITY_AVX512)
    if constexpr (sizeof(T) == 4) return fast_sigmoid(x);
#endif
    if constexpr (sizeof(T) == 4) {
      // 20 ulp: 1e-6 of a gate, far below the rounding of the products. With AVX2 exp_u20 turns a NaN into a number.
      const V gate = V(1) / (V(1) + (V(0) - x).exp_u20());
      return V::blendv(gate, x, x.isnan());
    } else {
      return V(1) / (V(1) + (V(0) - x).exp());
    }
  }
  T sqrt(T x) const { return std::sqrt(x); }
};

}  // namespace HMRNN_ISA
}  // namespace hmrnn::cell
