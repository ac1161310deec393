#pragma once

#include <ATen/ATen.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/thread_team.h"

// Tensors as tables of rows, and loops over rows that threads share.

namespace hmrnn::cpu {

/// An uninitialised table that many products or row functions read. It is in huge pages where the system has them, so
/// that the TLB covers a whole table (at 3×512 in bfloat16, 2 to 3% of a window's time).
inline at::Tensor empty_table(at::IntArrayRef sizes, at::TensorOptions options) {
  auto out = at::empty(sizes, options);
#if defined(MADV_HUGEPAGE)
  constexpr uintptr_t page = 2 * 1024 * 1024;
  const auto begin = (reinterpret_cast<uintptr_t>(out.data_ptr()) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(out.data_ptr()) + out.nbytes()) / page * page;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);  // advice: may fail
#endif
  return out;
}

/// Row `i` of a table of `width` values.
template <class T>
T* row_of(const at::Tensor& table, int64_t i, int64_t width) {
  return static_cast<T*>(table.data_ptr()) + i * width;
}

/// Row `i` of a table of products of `out` values, row_stride<P>(out) apart.
template <class P>
P* raw_row(const at::Tensor& raw, int64_t i, int64_t out) {
  return row_of<P>(raw, i, row_stride<P>(out));
}

template <class T>
void copy_row(T* to, const T* from, int64_t n) {
  std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

/// Calls f(begin, end, i) for ranges that partition [0, n), one for each thread; range i is processed by only one
/// thread. The partition depends only on n, `work` and the number of threads, so that results repeat. `work`: number of
/// values read or written in all; little work stays on the calling thread.
template <class F>
void for_row_ranges(int64_t n, int64_t work, F f) {
  constexpr int64_t worth_a_thread = 8192;
  const int64_t threads = work < worth_a_thread ? 1 : std::min(usable_threads(), n);
  if (threads < 2) return f(int64_t(0), n, int64_t(0));
  for_parts(threads, [&](int64_t i) { f(n * i / threads, n * (i + 1) / threads, i); });
}

/// Calls f(i, range) for each i of [0, n), in the ranges of for_row_ranges.
template <class F>
void for_rows(int64_t n, int64_t work, F f) {
  for_row_ranges(n, work, [&](int64_t begin, int64_t end, int64_t thread) {
    for (int64_t i = begin; i < end; ++i) f(i, thread);
  });
}

}  // namespace hmrnn::cpu
