#pragma once

#include <torch/nn/module.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Copies `module`'s parameters, then its buffers, to float32 on the CPU under their dotted names, ready for
/// write_safetensors; the caller fills in `metadata`. Throws c10::Error for a tensor that is not floating point.
/// Without `buffers`, only the parameters (as in a model's checkpoint, whose metadata holds the slope).
HMRNN_API SafeTensors pack_module(const torch::nn::Module& module, bool buffers = true);

/// Copies `file`'s tensors into `module`'s parameters and buffers, whatever their device and floating-point dtype. Both
/// must have the same set of names, and every tensor must be float32 with the module's shape. All is checked before
/// anything is copied, so an error leaves the module unchanged. Throws hmrnn::Error that names `path` (only used for
/// the message), the tensor, what was expected and what was found. Metadata is ignored. Without `buffers`, the file
/// must hold only the parameters, and buffers stay as they are.
HMRNN_API void unpack_module(torch::nn::Module& module, const SafeTensors& file, const std::string& path,
                             bool buffers = true);

/// Converts the float16, bfloat16 and float32 tensors to `dtype`, one of these, rounding to nearest; other tensors
/// stay. For models stored in bfloat16, and to load them as float32.
HMRNN_API void convert_floating_point(SafeTensors& file, torch::ScalarType dtype);

}  // namespace hmrnn
