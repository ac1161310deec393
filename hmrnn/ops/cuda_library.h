// libhmrnn_cuda, which contains every CUDA operator, is opened at run time when a CUDA device is requested. Programs
// that stay on the CPU load neither it nor libtorch_cuda.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// Opens libhmrnn_cuda.so, which is beside libhmrnn.so or on the loader's path; its operators register themselves. Any
/// number of threads may call it any number of times; it is opened once. Must be called before any function of LibTorch
/// that concerns CUDA, since LibTorch looks for libtorch_cuda only once.
/// @throws Error (one line) when it cannot be opened; a later call tries again.
HMRNN_API void load_cuda_library();

/// Properties of a CUDA device.
struct CudaDevice {
  std::string name;          ///< the vendor's
  int major = 0;             ///< compute capability
  int minor = 0;             ///< compute capability
  uint64_t free_bytes = 0;   ///< device memory
  uint64_t total_bytes = 0;  ///< device memory
};

/// Describes CUDA device `index` (≥ 0) after having run a kernel on it; opens the library.
/// @throws Error (one line) when there is no such device, or none that works.
HMRNN_API CudaDevice cuda_device(int index);

/// The device that `--device NAME` means: `cpu`, `cuda` (device 0), `cuda:N`, or `auto`, which is `cuda` where that
/// works and else `cpu`.
/// @throws Error (one line) for another name, and for a CUDA device that cannot be used.
HMRNN_API torch::Device resolve_device(const std::string& name);

/// For messages: "cpu", or "cuda:0 (NVIDIA H200, compute capability 9.0, 138.2 of 139.8 GiB free)".
HMRNN_API std::string describe_device(torch::Device device);

}  // namespace hmrnn
