#include "hmrnn/ops/product_dtype.h"

#include <ATen/Context.h>

#include "hmrnn/error.h"
#include "hmrnn/ops/cpu/cpu_feature.h"
#include "hmrnn/ops/cpu/kernel_dispatch.h"

namespace hmrnn {

bool cpu_has_bfloat16() { return cpu::cpu_has("avx512_bf16") || cpu::cpu_has("amx_bf16"); }

std::string cpu_kernels() { return cpu::chosen_kernels(); }

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

namespace {

/// Uses the getter that never throws: those of the older interface throw if a program has used the newer one.
bool tf32_allowed() {
  return at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL) ==
         at::Float32Precision::TF32;
}

/// "medium" allows TF32 as well, and more on a CPU.
bool is_medium() {
  try {
    return at::globalContext().float32MatmulPrecision() == at::Float32MatmulPrecision::MEDIUM;
  } catch (const c10::Error&) {
    return false;
  }
}

}  // namespace

// Uses the older setter, which keeps LibTorch's two interfaces consistent: its CUDA code still reads both.
TF32Products::TF32Products(bool allowed) : changed_(tf32_allowed() != allowed) {
  if (!changed_) return;
  medium_ = is_medium();
  at::globalContext().setAllowTF32CuBLAS(allowed);
}

TF32Products::~TF32Products() {
  if (!changed_) return;
  at::globalContext().setAllowTF32CuBLAS(!tf32_allowed());
  if (medium_) at::globalContext().setFloat32MatmulPrecision("medium");
}

}  // namespace hmrnn
