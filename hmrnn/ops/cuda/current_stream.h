#pragma once

#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

#include "hmrnn/ops/cuda/launch.h"

namespace hmrnn::cuda {

/// Launches on LibTorch's current stream of the current device, so that a capture records it.
template <class S>
void run(const S& arguments) {
  C10_CUDA_CHECK(static_cast<cudaError_t>(launch(arguments, c10::cuda::getCurrentCUDAStream().stream())));
}

}  // namespace hmrnn::cuda
