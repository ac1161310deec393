#pragma once

#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Stores the states of LibTorch's default generators (CPU, and that of `device` if it is CUDA) in `file` as `rng.cpu`
/// and `rng.cuda`, bytes.
HMRNN_API void save_random_state(SafeTensors& file, torch::Device device);

/// Restores them. If `file` has no CUDA state (the run moved from CPU to CUDA), that generator keeps its state. Throws
/// hmrnn::Error naming `where` if the CPU's state is missing or malformed.
HMRNN_API void load_random_state(const SafeTensors& file, torch::Device device, const std::string& where);

/// A CPU generator that is independent of the default generator, which training uses.
HMRNN_API torch::Generator make_generator(uint64_t seed);

}  // namespace hmrnn
