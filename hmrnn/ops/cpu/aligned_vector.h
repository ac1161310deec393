#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace hmrnn::cpu {

/// Memory that begins at a cache line: a vector register is as long as one, and across two of them is read and written
/// twice.
template <class T>
struct LineAllocator {
  using value_type = T;
  static constexpr std::align_val_t kLine{64};

  LineAllocator() = default;
  template <class U>
  LineAllocator(const LineAllocator<U>&) {}
  T* allocate(size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), kLine)); }
  void deallocate(T* p, size_t) { ::operator delete(p, kLine); }
  bool operator==(const LineAllocator&) const { return true; }
};

/// For values that row functions go over.
template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace hmrnn::cpu
