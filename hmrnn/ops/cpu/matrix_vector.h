#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>

#include "hmrnn/ops/cpu/cell_kernel.h"

namespace hmrnn::cpu {

/// y [rows] = M [rows, n] · x over the threads. At batch 1 a product reads each weight once: it is as fast as memory,
/// and a BLAS made for larger products is not.
template <class T>
void matrix_vector(const CellKernels<T>& k, int64_t rows, int64_t n, const T* m, const T* x, T* y) {
  constexpr int64_t worth_a_thread = 1 << 17;  // values of M
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), rows * n / worth_a_thread);
  if (threads < 2) return k.matrix_vector(rows, n, m, x, y);
  const int64_t share = (rows + threads - 1) / threads;
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = std::min(rows, i * share), to = std::min(rows, from + share);
      k.matrix_vector(to - from, n, m + from * n, x, y + from);
    }
  });
}

}  // namespace hmrnn::cpu
