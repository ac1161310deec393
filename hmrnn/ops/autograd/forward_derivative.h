#pragma once

#include <ATen/core/Tensor.h>

namespace hmrnn {

/// Throws if one of `tensors` has a forward-mode derivative (torch.func.jvp), which operator `op` would lose without a
/// word. `instead`: the end of the message.
inline void refuse_forward_derivative(const char* op, at::ArrayRef<at::Tensor> tensors, const char* instead) {
  for (const auto& x : tensors) {
    TORCH_CHECK(!x.defined() || !x._fw_grad(/*level=*/0).defined(), op,
                ": forward-mode derivatives (jvp) are not supported", instead);
  }
}

}  // namespace hmrnn
