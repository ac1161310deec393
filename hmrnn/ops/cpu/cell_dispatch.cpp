#include <ATen/Version.h>

#include <string>

#include "hmrnn/ops/cpu/cell_kernel.h"

namespace hmrnn::cpu {

void cell_kernels_DEFAULT(AllCellKernels& all);
#ifdef HMRNN_KERNELS_AVX2
void cell_kernels_AVX2(AllCellKernels& all);
void cell_kernels_AVX512(AllCellKernels& all);
#endif

namespace {

struct Chosen {
  AllCellKernels all;
  Chosen() {
    // ATen's own choice, so that ATEN_CPU_CAPABILITY steers both.
    const std::string capability = at::get_cpu_capability();
#ifdef HMRNN_KERNELS_AVX2
    if (capability == "AVX512") {
      cell_kernels_AVX512(all);
      return;
    }
    if (capability == "AVX2") {
      cell_kernels_AVX2(all);
      return;
    }
#endif
    cell_kernels_DEFAULT(all);
  }
};

const AllCellKernels& chosen() {
  static const Chosen kernels;
  return kernels.all;
}

}  // namespace

template <>
const CellKernels<float>& cell_kernels<float>() {
  return chosen().float32;
}

template <>
const CellKernels<float, c10::BFloat16>& cell_kernels<float, c10::BFloat16>() {
  return chosen().bfloat16;
}

template <>
const CellKernels<double>& cell_kernels<double>() {
  return chosen().float64;
}

}  // namespace hmrnn::cpu
