#pragma once

#include "hmrnn/ops/parameter_update.h"

namespace hmrnn::cpu {

/// The operators hmrnn::_clipped_adam_ and hmrnn::_average_ (ops/parameter_update.h) for tensors on the CPU. Threads
/// take pieces of the same size from all tensors in turn; results are the same bits for any number of threads.
AdamReport clipped_adam_(const AdamTensors& tensors, const AdamNumbers& numbers);
void average_(at::TensorList averages, at::TensorList values, const at::Tensor& share);

}  // namespace hmrnn::cpu
