// The device for tests tagged [cuda]; without one they print a line that starts with `skipped:` and pass.
#pragma once

#include <torch/types.h>

#include <iostream>
#include <optional>

#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"
#include "hmrnn/ops/cuda_persistent.h"

namespace hmrnn::test {

inline std::optional<torch::Device> find_cuda() {
  try {
    return resolve_device("cuda");
  } catch (const Error& error) {
    std::cout << "skipped: " << error.what() << std::endl;
    return std::nullopt;
  }
}

/// Whether the device is that of tests/emulated_gpu.
inline bool is_emulated(torch::Device device) { return cuda_device(device.index()).name == "emulated GPU"; }

/// Computes windows that fit with the persistent kernel for its lifetime.
class PersistentWindows {
 public:
  PersistentWindows() { set_cuda_persistent(true); }
  ~PersistentWindows() { set_cuda_persistent(false); }
  PersistentWindows(const PersistentWindows&) = delete;
  PersistentWindows& operator=(const PersistentWindows&) = delete;
};

}  // namespace hmrnn::test
