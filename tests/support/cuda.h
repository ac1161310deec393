// The device of tests tagged [cuda], which pass with a line that starts with `skipped:` where there is none.
#pragma once

#include <torch/types.h>

#include <iostream>
#include <optional>

#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"

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

}  // namespace hmrnn::test
