#pragma once

// For *_kernel.cpp files, which are compiled once for each instruction set (cmake/CpuKernels.cmake).

#define HMRNN_JOIN_EXPANDED(a, b) a##b
#define HMRNN_JOIN(a, b) HMRNN_JOIN_EXPANDED(a, b)

/// The name of a factory function for the instruction set of this compilation: kernels → kernels_AVX2.
#define HMRNN_FACTORY(kernels) HMRNN_JOIN(kernels##_, CPU_CAPABILITY)
