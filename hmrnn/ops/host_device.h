#pragma once

// Markers of functions that the kernels for the CPU and for CUDA share.

#ifndef HMRNN_HOST_DEVICE
#ifdef __CUDACC__
#define HMRNN_HOST_DEVICE __host__ __device__
#define HMRNN_INLINE __forceinline__
#else
#define HMRNN_HOST_DEVICE
#define HMRNN_INLINE __attribute__((always_inline)) inline
#endif
#endif
