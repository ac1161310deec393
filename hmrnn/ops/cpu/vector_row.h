#pragma once

// The Row policy of cell_math.h for one CPU thread: vector registers of the instruction set this file is compiled for.
// To be included by *_kernel.cpp files only (cmake/CpuKernels.cmake).

#include <ATen/cpu/vec/vec.h>

#include <array>
#include <cmath>
#include <cstdint>

#include "hmrnn/ops/cell_math.h"

namespace hmrnn::cell {
inline namespace HMRNN_ISA {

template <class Scalar>
struct VectorRow {
  using T = Scalar;
  using V = at::vec::Vectorized<T>;

  struct Full {
    int64_t j;
    V load(const T* p) const { return V::loadu(p + j); }
    void store(T* p, V v) const { v.store(p + j); }
    void add(T* p, V v) const { (V::loadu(p + j) + v).store(p + j); }
  };
  struct Tail {
    int64_t j;
    int64_t count;
    V load(const T* p) const { return V::loadu(p + j, count); }
    void store(T* p, V v) const { v.store(p + j, count); }
    void add(T* p, V v) const { (V::loadu(p + j, count) + v).store(p + j, count); }
  };

  template <class F>
  void each(int64_t n, F f) const {
    int64_t j = 0;
    for (; j + V::size() <= n; j += V::size()) f(Full{j});
    if (j < n) f(Tail{j, n - j});
  }

  template <int K, class F>
  std::array<T, K> sums(int64_t n, F f) const {
    std::array<V, K> total;
    for (auto& v : total) v = V(T(0));
    int64_t j = 0;
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

  V exp(V x) const {
    if constexpr (sizeof(T) == 4) {
      return x.exp_u20();  // 20 ulp: 1e-6 of a gate, far below the rounding of the products
    } else {
      return x.exp();
    }
  }
  T sqrt(T x) const { return std::sqrt(x); }
};

}  // namespace HMRNN_ISA
}  // namespace hmrnn::cell
