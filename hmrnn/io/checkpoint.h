#pragma once

#include <torch/nn/module.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Copies of `module`'s parameters, then its buffers, under their dotted names, as float32 on the CPU, ready for
/// write_safetensors; `metadata` is left to the caller. c10::Error for a buffer that is not floating point.
HMRNN_API SafeTensors pack_module(const torch::nn::Module& module);

/// Copies `file`'s tensors into `module`'s parameters and buffers, whatever their device and floating-point dtype.
/// The names must be the same set, every tensor float32 with the module's shape: all of it is checked before anything
/// is copied, so a module is loaded whole or not at all. Throws hmrnn::Error that names `path` (of the file, for the
/// message only), the tensor, what was expected and what was found. Metadata is not looked at.
HMRNN_API void unpack_module(torch::nn::Module& module, const SafeTensors& file, const std::string& path);

}  // namespace hmrnn
