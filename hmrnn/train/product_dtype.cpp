#include "hmrnn/train/product_dtype.h"

#include <ATen/Context.h>

#include "hmrnn/error.h"
#include "hmrnn/ops/cpu/cpu_feature.h"

namespace hmrnn {

bool cpu_has_bfloat16() { return cpu::cpu_has("avx512_bf16") || cpu::cpu_has("amx_bf16"); }

std::optional<torch::ScalarType> resolve_product_dtype(const std::string& name, torch::Device device) {
  if (name == "float32") return std::nullopt;
  if (name == "bfloat16") return torch::kBFloat16;
  if (name == "tf32") {
    if (!device.is_cuda()) throw Error("dtype 'tf32' is one of CUDA devices, not of device '" + device.str() + "'");
    return std::nullopt;
  }
  if (name != "auto") throw Error("dtype '" + name + "' is not one of float32, tf32, bfloat16, auto");
  return device.is_cuda() || cpu_has_bfloat16() ? std::make_optional(torch::kBFloat16) : std::nullopt;
}

TF32Products::TF32Products(bool allowed) : before_(at::globalContext().allowTF32CuBLAS()) {
  at::globalContext().setAllowTF32CuBLAS(allowed);
}

TF32Products::~TF32Products() { at::globalContext().setAllowTF32CuBLAS(before_); }

}  // namespace hmrnn
