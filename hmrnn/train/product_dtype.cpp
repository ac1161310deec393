#include "hmrnn/train/product_dtype.h"

#include <ATen/cpu/Utils.h>

#include "hmrnn/error.h"

namespace hmrnn {

bool cpu_has_bfloat16() {
  const auto capabilities = at::cpu::get_cpu_capabilities();
  for (const auto* name : {"avx512_bf16", "amx_bf16"}) {
    const auto found = capabilities.find(name);
    if (found != capabilities.end() && found->second.isBool() && found->second.toBool()) return true;
  }
  return false;
}

std::optional<torch::ScalarType> resolve_product_dtype(const std::string& name, torch::Device device) {
  if (name == "float32") return std::nullopt;
  if (name == "bfloat16") return torch::kBFloat16;
  if (name != "auto") throw Error("dtype '" + name + "' is not one of float32, bfloat16, auto");
  return device.is_cuda() || cpu_has_bfloat16() ? std::make_optional(torch::kBFloat16) : std::nullopt;
}

}  // namespace hmrnn
