#pragma once

#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Who runs the kernels of a window: CUDA (hm_lstm.cpp), or a test on the host (tests/support/host_kernels.h).
template <class T, class P>
class WindowKernels {
 public:
  virtual ~WindowKernels() = default;
  virtual void boundary_shares(const BoundaryShares<T>& shares) = 0;
  virtual void step_forward(const StepForward<T, P>& step) = 0;
  virtual void step_backward(const StepBackward<T, P>& step) = 0;
  virtual void sum_rows(const SumRows<T, P>& sum) = 0;     ///< gradients of products
  virtual void sum_scalars(const SumRows<T, T>& sum) = 0;  ///< of the boundary's share, width 1
};

}  // namespace hmrnn::cuda
