#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>

namespace hmrnn {

/// Whether `op` is registered for the device that `x` is on. (For CUDA: after load_cuda_library.)
inline bool has_kernels(const c10::OperatorHandle& op, const at::Tensor& x) {
  return op.hasKernelForDispatchKey(
      c10::toRuntimePerBackendFunctionalityKey(c10::DispatchKey::Dense, x.key_set().highestBackendKey()));
}

}  // namespace hmrnn
