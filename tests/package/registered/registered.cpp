// Uses no symbol of hmrnn, only looks up its operators in LibTorch's dispatcher: detects a linker that drops libhmrnn
// or the operators' static registration. Prints the operators that are missing.
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
