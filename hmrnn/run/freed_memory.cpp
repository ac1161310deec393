#include "hmrnn/run/freed_memory.h"

#if defined(__GLIBC__) || __has_include(<malloc.h>)
#include <malloc.h>
#endif

#include <climits>

namespace hmrnn {

void keep_freed_memory() {
#ifdef __GLIBC__
  // glibc before 2.35 accepts at most 32 MiB.
  if (mallopt(M_MMAP_THRESHOLD, 1 << 30) == 0) mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, INT_MAX);
#endif
}

}  // namespace hmrnn
