#pragma once

#include <ATen/ATen.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstdint>

namespace hmrnn::cpu {

/// Memory for a table that many products or row functions go over: in large pages, where the system has them, of which
/// the processor's tables of addresses hold enough (at 3×512 in bfloat16, 2 to 3% of a window).
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

}  // namespace hmrnn::cpu
