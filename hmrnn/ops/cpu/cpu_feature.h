#pragma once

#include <ATen/cpu/Utils.h>

namespace hmrnn::cpu {

/// Whether this machine's CPU has `feature`, by LibTorch's name for it ("avx512_bf16", "amx_bf16"); false for a name
/// that this LibTorch does not define.
inline bool cpu_has(const char* feature) {
  const auto all = at::cpu::get_cpu_capabilities();
  const auto found = all.find(feature);
  return found != all.end() && found->second.isBool() && found->second.toBool();
}

/// Whether this machine's CPU is one of Intel's.
inline bool cpu_is_intel() {
#if defined(__x86_64__)
  return __builtin_cpu_is("intel");
#else
  return false;
#endif
}

}  // namespace hmrnn::cpu
