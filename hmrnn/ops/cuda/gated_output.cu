// Launches of the gated output's kernels: a block for each step of each row.

#include "hmrnn/ops/cuda/block_launch.h"
#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

namespace {

template <int N, class T>
__global__ void gated_sum_kernel(GatedSum<T> s) {
  gated_sum<N>(CudaBlock(nullptr), blockIdx.x, s);
}

template <int N, class T, class P>
__global__ void gated_sum_backward_kernel(GatedSumBackward<T, P> s) {
  __shared__ BlockMemory shared;
  gated_sum_backward<N>(CudaBlock(&shared), blockIdx.x, s);
}

}  // namespace

template <class T>
int launch(const GatedSum<T>& s, void* stream) {
  const auto blocks = static_cast<unsigned>(s.n);
  const auto on = static_cast<cudaStream_t>(stream);
  if (s.wide) {
    gated_sum_kernel<kPack<T>><<<blocks, threads_for(s.out / kPack<T>), 0, on>>>(s);
  } else {
    gated_sum_kernel<1><<<blocks, threads_for(s.out), 0, on>>>(s);
  }
  return cudaGetLastError();
}

template <class T, class P>
int launch(const GatedSumBackward<T, P>& s, void* stream) {
  const auto blocks = static_cast<unsigned>(s.n);
  const auto on = static_cast<cudaStream_t>(stream);
  if (s.wide) {
    gated_sum_backward_kernel<kPack<T>><<<blocks, threads_for(s.out / kPack<T>), 0, on>>>(s);
  } else {
    gated_sum_backward_kernel<1><<<blocks, threads_for(s.out), 0, on>>>(s);
  }
  return cudaGetLastError();
}

template int launch(const GatedSum<float>&, void*);
template int launch(const GatedSum<double>&, void*);
template int launch(const GatedSumBackward<float, float>&, void*);
template int launch(const GatedSumBackward<double, double>&, void*);
template int launch(const GatedSumBackward<float, c10::BFloat16>&, void*);

}  // namespace hmrnn::cuda
