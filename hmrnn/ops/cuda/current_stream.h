#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

/// Launches on the stream that LibTorch works on now, whatever device that is: a capture goes on there.
template <class S>
void run(const S& arguments) {
  C10_CUDA_CHECK(static_cast<cudaError_t>(launch(arguments, c10::cuda::getCurrentCUDAStream().stream())));
}

}  // namespace hmrnn::cuda
