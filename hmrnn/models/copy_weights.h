#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <string>

namespace hmrnn {

/// Copies every parameter of `source` into the parameter of `module` that has its name. Where `may_grow(name)`, that of
/// `module` may have more rows (dimension 0), of which the last keep their values. Throws c10::Error naming a parameter
/// that `source` lacks or has in another shape.
void copy_weights(torch::nn::Module& module, const torch::nn::Module& source,
                  const std::function<bool(const std::string&)>& may_grow);

}  // namespace hmrnn
