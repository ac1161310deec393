// Uses no symbol of hmrnn and asks LibTorch's dispatcher for its operators: detects a linker that drops libhmrnn, or
// their static registration. Prints what is missing.
#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdio>

int main() {
  int missing = 0;
  for (const char* name : {"hmrnn::hm_lstm", "hmrnn::gated_output"}) {
    if (c10::Dispatcher::singleton().findSchema({name, ""})) continue;
    std::printf("missing: %s\n", name);
    ++missing;
  }
  if (missing == 0) std::puts("registered");
  return missing;
}
