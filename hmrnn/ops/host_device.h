#pragma once

// What functions are marked with that kernels of a CPU and of CUDA share.

#ifndef HMRNN_HOST_DEVICE
#ifdef __CUDACC__
#define HMRNN_HOST_DEVICE __host__ __device__
#define HMRNN_INLINE __forceinline__
#else
#define HMRNN_HOST_DEVICE
#define HMRNN_INLINE __attribute__((always_inline)) inline
#endif
#endif
