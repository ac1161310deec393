#include "hmrnn/train/flush_subnormals.h"

#include <ATen/Parallel.h>

#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __x86_64__
#include <xmmintrin.h>
#endif

namespace hmrnn {

namespace {

uint64_t mode() {
#if defined(__x86_64__)
  return _mm_getcsr();
#elif defined(__aarch64__)
  uint64_t value = 0;
  asm volatile("mrs %0, fpcr" : "=r"(value));
  return value;
#else
  return 0;
#endif
}

void set_mode([[maybe_unused]] uint64_t value) {
#if defined(__x86_64__)
  _mm_setcsr(static_cast<unsigned>(value));
#elif defined(__aarch64__)
  asm volatile("msr fpcr, %0" : : "r"(value));
#endif
}

#if defined(__x86_64__)
constexpr uint64_t kFlush = 0x8040;  // FTZ and DAZ: results and operands
#else
constexpr uint64_t kFlush = uint64_t{1} << 24;
#endif

/// Calls `work` with the thread number on each of `threads` threads, including the caller. OpenMP reuses threads, and
/// their numbers, for teams of the same size.
template <class Work>
void on_every_thread(int threads, const Work& work) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
  work(static_cast<size_t>(omp_get_thread_num()));
#else
  work(size_t{0});
#endif
}

}  // namespace

FlushSubnormals::FlushSubnormals() : before_(static_cast<size_t>(at::get_num_threads()), mode()) {
  on_every_thread(static_cast<int>(before_.size()), [this](size_t thread) {
    before_[thread] = mode();
    set_mode(mode() | kFlush);
  });
}

FlushSubnormals::~FlushSubnormals() {
  on_every_thread(static_cast<int>(before_.size()), [this](size_t thread) { set_mode(before_[thread]); });
}

}  // namespace hmrnn
