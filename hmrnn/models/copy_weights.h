#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <string>

namespace hmrnn {

/// Copies the parameters of `source` into the parameters of `module` of the same names. If `may_grow(name)`, the
/// parameter of `module` may have more rows (dimension 0) than that of `source`; the additional rows, at the end, keep
/// their values. Throws c10::Error naming a parameter that `source` lacks or has in another shape.
void copy_weights(torch::nn::Module& module, const torch::nn::Module& source,
                  const std::function<bool(const std::string&)>& may_grow);

}  // namespace hmrnn
