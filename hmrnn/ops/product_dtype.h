#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether the CPU has instructions for bfloat16 (AVX512-BF16 or AMX); without them it is slower than float32. (Those
/// of AVX512-BF16 are slow on Intel's CPUs: products of bfloat16 without AMX are computed by float32 instructions
/// there.)
HMRNN_API bool cpu_has_bfloat16();

/// The instruction set of this process's CPU kernels, "default", "AVX2" or "AVX512", and of their bfloat16 products if
/// that is another one, as in "AVX512, bfloat16 by AMX", "… by AVX512-BF16" or "… by float32 instructions". It is
/// chosen once, from the CPU and the environment variables ATEN_CPU_CAPABILITY, HMRNN_AVX512_BF16 and HMRNN_AMX.
HMRNN_API std::string cpu_kernels();

/// The dtype of matrix products for `--dtype NAME` on `device`: nullopt for "float32" and "tf32"; bfloat16 for
/// "bfloat16"; "auto" is bfloat16 on a CPU with AVX512-BF16 or AMX and on CUDA, else float32. Throws hmrnn::Error for
/// another name, and for "tf32" unless the device is CUDA.
HMRNN_API std::optional<torch::ScalarType> resolve_product_dtype(const std::string& name, torch::Device device);

/// During its lifetime, float32 products on CUDA devices round their operands to TF32 (10 bits of mantissa), or do not.
/// It sets LibTorch's own switch, for the whole process, if that differs; the destructor restores the precision.
class HMRNN_API TF32Products {
 public:
  /// Allows TF32, or forbids it.
  explicit TF32Products(bool allowed);
  ~TF32Products();
  TF32Products(const TF32Products&) = delete;
  TF32Products& operator=(const TF32Products&) = delete;

 private:
  bool changed_, medium_ = false;
};

}  // namespace hmrnn
