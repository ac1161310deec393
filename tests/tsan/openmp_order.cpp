// Declares the order of OpenMP's parallel regions to ThreadSanitizer. LibTorch's libgomp is not instrumented, so the
// sanitizer sees neither that a region's threads start after the caller's earlier accesses, nor that the caller
// continues after they have ended: it would report races for all memory that they share. This library overrides
// libgomp's GOMP_parallel and declares both. Accesses of two threads of one region to the same memory stay races.
#include <dlfcn.h>

extern "C" {

void __tsan_acquire(void* address);
void __tsan_release(void* address);

using Body = void (*)(void*);

struct Region {
  Body body;
  void* data;
  char begin, end;  // their addresses pair each release with its acquire
};

static void run(void* argument) {
  auto* region = static_cast<Region*>(argument);
  __tsan_acquire(&region->begin);
  region->body(region->data);
  __tsan_release(&region->end);
}

__attribute__((visibility("default"))) void GOMP_parallel(Body body, void* data, unsigned threads, unsigned flags) {
  using Parallel = void (*)(Body, void*, unsigned, unsigned);
  static const auto parallel = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data, 0, 0};
  __tsan_release(&region.begin);
  parallel(run, &region, threads, flags);
  __tsan_acquire(&region.end);
}

}  // extern "C"
