#pragma once

#include <functional>
#include <stdexcept>
#include <vector>

#include "hmrnn/ops/cuda/hm_lstm_persistent.h"
#include "hmrnn/ops/cuda/hm_lstm_step.h"

namespace hmrnn::cuda {

/// Interface for running a window's kernels: on CUDA (hm_lstm.cpp), or on the host in tests
/// (tests/support/host_kernels.h).
template <class T, class P>
class WindowKernels {
 public:
  virtual ~WindowKernels() = default;
  virtual void boundary_products(const BoundaryProducts<T>& products) = 0;
  /// Steps of several layers that do not depend on each other.
  virtual void step_forward(const std::vector<StepForward<T, P>>& steps) = 0;
  virtual void step_backward(const std::vector<StepBackward<T, P>>& steps) = 0;
  virtual void sum_rows(const SumRows<T, P>& sum) = 0;     ///< gradients of products
  virtual void sum_scalars(const SumRows<T, T>& sum) = 0;  ///< of products with boundary rows, width 1
  /// Runs the pieces of work, each of which launches something through ATen, side by side: they do not depend on each
  /// other.
  virtual void side_by_side(const std::vector<std::function<void()>>& work) = 0;

  /// These three are for persistent kernels: the device's limits for them (default: there are none), and their
  /// launches.
  virtual ChipDevice chip() const { return {}; }
  virtual void window_forward(const PersistentForward<T, P>&) { throw std::logic_error("no kernel of whole windows"); }
  virtual void window_backward(const PersistentBackward<T, P>&) {
    throw std::logic_error("no kernel of whole windows");
  }
};

}  // namespace hmrnn::cuda
