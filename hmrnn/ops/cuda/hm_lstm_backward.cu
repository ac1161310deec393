// Launches of a window's kernel backwards: a block for each row of the batch, and for each step of a wave.

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/hm_lstm_step_backward.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

namespace {

template <int N, class T, class P>
__global__ void step_backward_kernel(const __grid_constant__ Wave<StepBackward<T, P>> wave) {
  __shared__ BlockMemory shared;
  step_backward<N>(CudaBlock(&shared), blockIdx.x, wave.step[blockIdx.y]);
}

}  // namespace

template <class T, class P>
int launch(const Wave<StepBackward<T, P>>& wave, void* stream) {
  const auto shape = WaveShape::of<T>(wave);
  const auto on = static_cast<cudaStream_t>(stream);
  if (shape.wide) {
    step_backward_kernel<kPack<T>><<<shape.blocks, shape.threads, 0, on>>>(wave);
  } else {
    step_backward_kernel<1><<<shape.blocks, shape.threads, 0, on>>>(wave);
  }
  return cudaGetLastError();
}

template int launch(const Wave<StepBackward<float, float>>&, void*);
template int launch(const Wave<StepBackward<double, double>>&, void*);
template int launch(const Wave<StepBackward<float, c10::BFloat16>>&, void*);

}  // namespace hmrnn::cuda
