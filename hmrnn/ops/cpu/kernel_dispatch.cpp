#include "hmrnn/ops/cpu/kernel_dispatch.h"

#include <ATen/Version.h>

#include <cstdlib>
#include <cstring>
#include <string>

#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/cpu_feature.h"
#include "hmrnn/ops/cpu/row_product.h"
#include "hmrnn/ops/cpu/tile_product.h"
#include "hmrnn/ops/cpu/training_kernel.h"
#include "hmrnn/ops/cpu/unpacked_product.h"

namespace hmrnn::cpu {

void cell_kernels_DEFAULT(AllCellKernels& all);
void row_product_kernels_DEFAULT(AllRowProductKernels& all);
void unpacked_product_kernels_DEFAULT(AllUnpackedProductKernels& all);
void training_kernels_DEFAULT(AllTrainingKernels& all);
#ifdef HMRNN_KERNELS_AVX2
void cell_kernels_AVX2(AllCellKernels& all);
void cell_kernels_AVX512(AllCellKernels& all);
void cell_kernels_AVX512_BF16(AllCellKernels& all);
void row_product_kernels_AVX2(AllRowProductKernels& all);
void row_product_kernels_AVX512(AllRowProductKernels& all);
void row_product_kernels_AVX512_BF16(AllRowProductKernels& all);
void row_product_kernels_AVX512_WIDE(AllRowProductKernels& all);
void row_product_kernels_AMX(AllRowProductKernels& all);
void unpacked_product_kernels_AVX2(AllUnpackedProductKernels& all);
void training_kernels_AVX2(AllTrainingKernels& all);
void unpacked_product_kernels_AVX512(AllUnpackedProductKernels& all);
void training_kernels_AVX512(AllTrainingKernels& all);
#endif

namespace {

/// Whether the CPU has `feature`, unless the environment variable `variable` is 0: for tests of the kernels that a CPU
/// would not choose.
[[maybe_unused]] bool wanted(const char* feature, const char* variable) {
  const char* value = std::getenv(variable);
  return cpu_has(feature) && (value == nullptr || std::strcmp(value, "0") != 0);
}

#ifdef HMRNN_KERNELS_AVX2
/// Whether the instructions for float32 do more multiplications than those for bfloat16: on Intel's CPUs VDPBF16PS
/// starts in every second cycle, and two float32 instructions start in each cycle. HMRNN_AVX512_BF16=dot and =wide
/// override it.
bool float32_is_faster() {
  const char* value = std::getenv("HMRNN_AVX512_BF16");
  if (value != nullptr && std::strcmp(value, "dot") == 0) return false;
  return (value != nullptr && std::strcmp(value, "wide") == 0) || cpu_is_intel();
}
#endif

struct Chosen {
  AllCellKernels cells;
  AllRowProductKernels products;
  AllUnpackedProductKernels unpacked;
  AllTrainingKernels training;
  const char* name = "default";
  Chosen() {
    // ATen's own choice, so that ATEN_CPU_CAPABILITY controls both.
    const std::string capability = at::get_cpu_capability();
#ifdef HMRNN_KERNELS_AVX2
    if (capability == "AVX512") {
      name = "AVX512";
      cell_kernels_AVX512(cells);
      row_product_kernels_AVX512(products);
      unpacked_product_kernels_AVX512(unpacked);
      training_kernels_AVX512(training);
      if (!wanted("avx512_bf16", "HMRNN_AVX512_BF16")) return;
      cell_kernels_AVX512_BF16(cells);  // replaces the bfloat16 ones
      if (float32_is_faster()) {
        row_product_kernels_AVX512_WIDE(products);
        name = "AVX512, bfloat16 by float32 instructions";
      } else {
        row_product_kernels_AVX512_BF16(products);
        name = "AVX512, bfloat16 by AVX512-BF16";
      }
      if (!wanted("amx_bf16", "HMRNN_AMX") || !has_tile_products()) return;
      row_product_kernels_AMX(products);
      name = "AVX512, bfloat16 by AMX";
      return;
    }
    if (capability == "AVX2") {
      name = "AVX2";
      cell_kernels_AVX2(cells);
      row_product_kernels_AVX2(products);
      unpacked_product_kernels_AVX2(unpacked);
      training_kernels_AVX2(training);
      return;
    }
#endif
    cell_kernels_DEFAULT(cells);
    row_product_kernels_DEFAULT(products);
    unpacked_product_kernels_DEFAULT(unpacked);
    training_kernels_DEFAULT(training);
  }
};

const Chosen& chosen() {
  static const Chosen kernels;
  return kernels;
}

}  // namespace

const char* chosen_kernels() { return chosen().name; }

template <>
const CellKernels<float>& cell_kernels<float>() {
  return chosen().cells.float32;
}

template <>
const CellKernels<float, c10::BFloat16>& cell_kernels<float, c10::BFloat16>() {
  return chosen().cells.bfloat16;
}

template <>
const CellKernels<double>& cell_kernels<double>() {
  return chosen().cells.float64;
}

template <>
const RowProductKernels<float>& row_product_kernels<float>() {
  return chosen().products.float32;
}

template <>
const RowProductKernels<c10::BFloat16>& row_product_kernels<c10::BFloat16>() {
  return chosen().products.bfloat16;
}

template <>
const UnpackedProductKernels<float>& unpacked_product_kernels<float>() {
  return chosen().unpacked.float32;
}

template <>
const UnpackedProductKernels<double>& unpacked_product_kernels<double>() {
  return chosen().unpacked.float64;
}

template <>
const TrainingKernels<float>& training_kernels<float>() {
  return chosen().training.float32;
}

template <>
const TrainingKernels<double>& training_kernels<double>() {
  return chosen().training.float64;
}

}  // namespace hmrnn::cpu
