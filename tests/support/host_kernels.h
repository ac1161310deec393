// The kernels of the CUDA backend, run on the host block by block: what tests without a GPU pass to its drivers.
#pragma once

#include "hmrnn/ops/cuda/gated_output_kernels.h"
#include "hmrnn/ops/cuda/hm_lstm_kernels.h"
#include "support/host_block.h"

namespace hmrnn::test {

template <class T, class P>
class HostKernels : public cuda::WindowKernels<T, P> {
 public:
  /// `reversed`: order of the threads of a block, and of independent work. `packs`: load several values at once where
  /// the step allows it, as CUDA does.
  HostKernels(int threads, bool reversed, bool packs) : team_(threads, reversed), reversed_(reversed), packs_(packs) {}

  void boundary_products(const cuda::BoundaryProducts<T>& products) override;
  void step_forward(const std::vector<cuda::StepForward<T, P>>& steps) override;
  void step_backward(const std::vector<cuda::StepBackward<T, P>>& steps) override;
  void sum_rows(const cuda::SumRows<T, P>& sum) override;
  void sum_scalars(const cuda::SumRows<T, T>& sum) override;

  void side_by_side(const std::vector<std::function<void()>>& work) override;

  int64_t launches = 0;

 private:
  template <class Q>
  void sum(const cuda::SumRows<T, Q>& s);

  template <class List, class F>
  void in_order(const List& list, F f);

  HostTeam team_;
  bool reversed_;
  bool packs_;
};

template <class T, class P>
class HostGatedOutputKernels : public cuda::GatedOutputKernels<T, P> {
 public:
  HostGatedOutputKernels(int threads, bool reversed, bool packs) : team_(threads, reversed), packs_(packs) {}

  void gated_sum(const cuda::GatedSum<T>& sum) override;
  void gated_sum_backward(const cuda::GatedSumBackward<T, P>& sum) override;

 private:
  HostTeam team_;
  bool packs_;
};

}  // namespace hmrnn::test
