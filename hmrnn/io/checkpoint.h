#pragma once

#include <torch/nn/module.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/io/safetensors.h"

namespace hmrnn {

/// Copies of `module`'s parameters, then its buffers, under their dotted names, as float32 on the CPU, ready for
/// write_safetensors; `metadata` is left to the caller. c10::Error for a buffer that is not floating point.
/// Without `buffers`, the parameters alone (a model's checkpoint: its slope is in the metadata).
HMRNN_API SafeTensors pack_module(const torch::nn::Module& module, bool buffers = true);

/// Copies `file`'s tensors into `module`'s parameters and buffers, whatever their device and floating-point dtype.
/// The names must be the same set, every tensor float32 with the module's shape: all of it is checked before anything
/// is copied, so a module is loaded whole or not at all. Throws hmrnn::Error that names `path` (of the file, for the
/// message only), the tensor, what was expected and what was found. Metadata is not looked at. Without `buffers` the
/// file must hold the parameters alone, and buffers stay as they are.
HMRNN_API void unpack_module(torch::nn::Module& module, const SafeTensors& file, const std::string& path,
                             bool buffers = true);

/// Converts the tensors of 16 and of 32 bits (float16, bfloat16, float32) to `dtype`, one of these, rounding to the
/// nearest; the others stay. For models that are kept in bfloat16, and on the way to float32 again.
HMRNN_API void convert_floating_point(SafeTensors& file, torch::ScalarType dtype);

}  // namespace hmrnn
