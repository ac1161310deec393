#pragma once

// Launches of the kernels: nvcc compiles one side (*.cu, free of LibTorch but for its bfloat16), g++ the other. All are
// asynchronous on the stream (a cudaStream_t), and return a cudaError_t as a number.

#include "hmrnn/ops/cuda/gated_output_kernels.h"
#include "hmrnn/ops/cuda/hm_lstm_persistent.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Steps that one launch does: as many as fit in the 4 KiB of a kernel's arguments.
constexpr int kMaxWave = 4;
template <class S>
struct Wave {
  S step[kMaxWave];
  int count = 0;
};

template <class T>
int launch(const BoundaryProducts<T>& products, void* stream);
template <class T, class P>
int launch(const Wave<StepForward<T, P>>& wave, void* stream);
template <class T, class P>
int launch(const Wave<StepBackward<T, P>>& wave, void* stream);
int launch(const PersistentForward<float, c10::BFloat16>& plan, void* stream);
int launch(const PersistentBackward<float, c10::BFloat16>& plan, void* stream);
template <class T, class Q>
int launch(const SumRows<T, Q>& sum, void* stream);
template <class T>
int launch(const GatedSum<T>& sum, void* stream);
template <class T, class P>
int launch(const GatedSumBackward<T, P>& sum, void* stream);

}  // namespace hmrnn::cuda
