// The device query of libhmrnn_cuda, called by libhmrnn. C++17 and free of LibTorch, since nvcc compiles one side and
// g++ the other; C linkage, since the symbol is looked up by name after the library has been opened.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hmrnn/export.h"

extern "C" {

struct HmrnnCudaDevice {
  char name[256];
  int major;  // compute capability
  int minor;
  uint64_t free_bytes;  // device memory
  uint64_t total_bytes;
};

/// Fills `device` for the device `index` after running a kernel of this library on it, which distinguishes a device
/// that works from one that merely exists (wrong driver, no code for its architecture). Returns 0, or the CUDA error's
/// number with its text in `message` (`message_size` bytes, always terminated).
HMRNN_API int hmrnn_cuda_query_device(int index, HmrnnCudaDevice* device, char* message, size_t message_size);

/// The type of the function above, for dlsym.
using HmrnnCudaQueryDevice = int (*)(int, HmrnnCudaDevice*, char*, size_t);
}
