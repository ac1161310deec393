#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace hmrnn::cpu {

/// Allocates memory that begins at a cache line: an AVX-512 register is as long as one, and an access that spans two
/// lines costs two.
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

/// For values that row functions read or write.
template <class T>
using AlignedVector = std::vector<T, LineAllocator<T>>;

}  // namespace hmrnn::cpu
