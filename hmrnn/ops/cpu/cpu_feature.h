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

}  // namespace hmrnn::cpu
