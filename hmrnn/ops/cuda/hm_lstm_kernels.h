#pragma once

#include <functional>
#include <stdexcept>
#include <vector>

#include "hmrnn/ops/cuda/hm_lstm_persistent.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Who runs the kernels of a window: CUDA (hm_lstm.cpp), or a test on the host (tests/support/host_kernels.h).
template <class T, class P>
class WindowKernels {
 public:
  virtual ~WindowKernels() = default;
  virtual void boundary_shares(const BoundaryShares<T>& shares) = 0;
  /// Steps of several layers that do not depend on each other.
  virtual void step_forward(const std::vector<StepForward<T, P>>& steps) = 0;
  virtual void step_backward(const std::vector<StepBackward<T, P>>& steps) = 0;
  virtual void sum_rows(const SumRows<T, P>& sum) = 0;     ///< gradients of products
  virtual void sum_scalars(const SumRows<T, T>& sum) = 0;  ///< of the boundary's share, width 1
  /// Runs each piece of work, which launches something through ATen, beside the others: they do not depend on each
  /// other.
  virtual void side_by_side(const std::vector<std::function<void()>>& work) = 0;

  /// What whole windows can be run on, if at all: these three are for kernels that keep the weights on chip.
  virtual ChipDevice chip() const { return {}; }
  virtual void window_forward(const PersistentForward<T, P>&) { throw std::logic_error("no kernel of whole windows"); }
  virtual void window_backward(const PersistentBackward<T, P>&) {
    throw std::logic_error("no kernel of whole windows");
  }
};

}  // namespace hmrnn::cuda
