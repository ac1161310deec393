// Launches of a window's kernels forwards: a block for each row of the batch, and for each step of a wave.

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/hm_lstm_step_forward.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

namespace {

template <int N, class T>
__global__ void boundary_products_kernel(BoundaryProducts<T> s) {
  __shared__ BlockMemory shared;
  boundary_products<N>(CudaBlock(&shared), blockIdx.x, s);
}

template <int N, class T, class P>
__global__ void step_forward_kernel(const __grid_constant__ Wave<StepForward<T, P>> wave) {
  __shared__ BlockMemory shared;
  step_forward<N>(CudaBlock(&shared), blockIdx.x, wave.step[blockIdx.y]);
}

/// Grid: row of the table, segment, chunk of columns.
template <int N, class T, class Q>
__global__ void sum_rows_kernel(SumRows<T, Q> s) {
  sum_rows<N>(CudaBlock(nullptr), blockIdx.x, blockIdx.y, blockIdx.z, s);
}

}  // namespace

template <class T>
int launch(const BoundaryProducts<T>& s, void* stream) {
  const auto blocks = static_cast<unsigned>(s.batch);
  const auto on = static_cast<cudaStream_t>(stream);
  if (s.wide) {
    boundary_products_kernel<kPack<T>><<<blocks, threads_for(s.units / kPack<T>), 0, on>>>(s);
  } else {
    boundary_products_kernel<1><<<blocks, threads_for(s.units), 0, on>>>(s);
  }
  return cudaGetLastError();
}

template <class T, class P>
int launch(const Wave<StepForward<T, P>>& wave, void* stream) {
  const auto shape = WaveShape::of<T>(wave);
  const auto on = static_cast<cudaStream_t>(stream);
  if (shape.wide) {
    step_forward_kernel<kPack<T>><<<shape.blocks, shape.threads, 0, on>>>(wave);
  } else {
    step_forward_kernel<1><<<shape.blocks, shape.threads, 0, on>>>(wave);
  }
  return cudaGetLastError();
}

template <class T, class Q>
int launch(const SumRows<T, Q>& s, void* stream) {
  const unsigned threads = threads_for(s.width);
  const dim3 blocks(static_cast<unsigned>(s.table), static_cast<unsigned>(s.segments),
                    static_cast<unsigned>((s.width + threads - 1) / threads));
  sum_rows_kernel<1><<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(s);
  return cudaGetLastError();
}

template int launch(const BoundaryProducts<float>&, void*);
template int launch(const BoundaryProducts<double>&, void*);
template int launch(const Wave<StepForward<float, float>>&, void*);
template int launch(const Wave<StepForward<double, double>>&, void*);
template int launch(const Wave<StepForward<float, c10::BFloat16>>&, void*);
template int launch(const SumRows<float, float>&, void*);
template int launch(const SumRows<double, double>&, void*);
template int launch(const SumRows<float, c10::BFloat16>&, void*);

}  // namespace hmrnn::cuda
