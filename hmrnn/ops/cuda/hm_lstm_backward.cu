// Launches of a window's kernel backwards: a block for each row of the batch.

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/hm_lstm_step_backward.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

namespace {

template <int N, class T, class P>
__global__ void step_backward_kernel(StepBackward<T, P> s) {
  __shared__ double shared[kSharedBytes / sizeof(double)];
  step_backward<N>(CudaBlock(shared), blockIdx.x, s);
}

}  // namespace

template <class T, class P>
int launch(const StepBackward<T, P>& s, void* stream) {
  const auto blocks = static_cast<unsigned>(s.batch);
  const auto on = static_cast<cudaStream_t>(stream);
  if (s.wide) {
    step_backward_kernel<kPack<T>><<<blocks, threads_for(4 * s.units / kPack<T>), 0, on>>>(s);
  } else {
    step_backward_kernel<1><<<blocks, threads_for(4 * s.units), 0, on>>>(s);
  }
  return cudaGetLastError();
}

template int launch(const StepBackward<float, float>&, void*);
template int launch(const StepBackward<double, double>&, void*);
template int launch(const StepBackward<float, c10::BFloat16>&, void*);

}  // namespace hmrnn::cuda
