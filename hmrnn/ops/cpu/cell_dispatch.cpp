#include <ATen/Version.h>

#include <string>

#include "hmrnn/ops/cpu/cell_kernel.h"

namespace hmrnn::cpu {

void cell_kernels_DEFAULT(CellKernels<float>& f, CellKernels<double>& d);
#ifdef HMRNN_KERNELS_AVX2
void cell_kernels_AVX2(CellKernels<float>& f, CellKernels<double>& d);
void cell_kernels_AVX512(CellKernels<float>& f, CellKernels<double>& d);
#endif

namespace {

struct Chosen {
  CellKernels<float> f;
  CellKernels<double> d;
  Chosen() {
    // ATen's own choice, so that ATEN_CPU_CAPABILITY steers both.
    const std::string capability = at::get_cpu_capability();
#ifdef HMRNN_KERNELS_AVX2
    if (capability == "AVX512") {
      cell_kernels_AVX512(f, d);
      return;
    }
    if (capability == "AVX2") {
      cell_kernels_AVX2(f, d);
      return;
    }
#endif
    cell_kernels_DEFAULT(f, d);
  }
};

const Chosen& chosen() {
  static const Chosen kernels;
  return kernels;
}

}  // namespace

template <>
const CellKernels<float>& cell_kernels<float>() {
  return chosen().f;
}

template <>
const CellKernels<double>& cell_kernels<double>() {
  return chosen().d;
}

}  // namespace hmrnn::cpu
