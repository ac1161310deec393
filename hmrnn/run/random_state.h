#pragma once

#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Adds LibTorch's default generators (CPU, and `device`'s if that is CUDA) to `file`: `rng.cpu`, `rng.cuda`, bytes.
HMRNN_API void save_random_state(SafeTensors& file, torch::Device device);

/// Sets them back. A CUDA state that `file` does not have (the run moved from CPU to CUDA) leaves that generator as it is.
/// Throws hmrnn::Error naming `where` if the CPU's is missing or malformed.
HMRNN_API void load_random_state(const SafeTensors& file, torch::Device device, const std::string& where);

/// A generator of its own on the CPU, apart from the default one that training draws from.
HMRNN_API torch::Generator make_generator(uint64_t seed);

}  // namespace hmrnn
