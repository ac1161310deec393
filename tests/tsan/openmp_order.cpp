// OpenMP's parallel regions as ThreadSanitizer has to see them. LibTorch's libgomp is not instrumented, so that the
// sanitizer knows neither that a region's threads begin after what the caller did before, nor that the caller goes on
// after they have ended: it would call all that they share a race. This library stands before libgomp and says both.
// What two threads of one region do to the same memory stays a race.
#include <dlfcn.h>

extern "C" {

void __tsan_acquire(void* address);
void __tsan_release(void* address);

using Body = void (*)(void*);

struct Region {
  Body body;
  void* data;
  char begin, end;  // what the order hangs on
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
