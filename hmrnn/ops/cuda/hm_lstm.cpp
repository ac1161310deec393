// hmrnn::_hm_lstm_forward and _hm_lstm_backward for CUDA.

#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "hmrnn/ops/cuda/current_stream.h"
#include "hmrnn/ops/cuda/hm_lstm_window.h"
#include "hmrnn/ops/cuda/two_streams.h"
#include "hmrnn/ops/cuda_persistent.h"
#include "hmrnn/ops/hm_lstm_schema.h"

namespace hmrnn::cuda {

namespace {

template <class T, class P>
class StreamWindowKernels : public WindowKernels<T, P> {
 public:
  void boundary_products(const BoundaryProducts<T>& products) override { run(products); }
  void step_forward(const std::vector<StepForward<T, P>>& steps) override { run_wave(steps); }
  void step_backward(const std::vector<StepBackward<T, P>>& steps) override { run_wave(steps); }
  void sum_rows(const SumRows<T, P>& sum) override { run(sum); }
  void sum_scalars(const SumRows<T, T>& sum) override { run(sum); }
  void side_by_side(const std::vector<std::function<void()>>& work) override { streams_.run(work); }

  ChipDevice chip() const override {
    if (!kOnChip || !cuda_persistent()) return {};
    const auto* p = at::cuda::getCurrentDeviceProperties();
    if (p->major < 8 || !p->cooperativeLaunch) return {};  // the tensor cores support bfloat16 from 8.0 on
    return {p->multiProcessorCount, static_cast<int64_t>(p->sharedMemPerBlockOptin)};
  }
  void window_forward(const PersistentForward<T, P>& plan) override { run_window(plan); }
  void window_backward(const PersistentBackward<T, P>& plan) override { run_window(plan); }

 private:
  static constexpr bool kOnChip = std::is_same_v<P, c10::BFloat16>;

  template <class Plan>
  void run_window(const Plan& plan) {
    if constexpr (kOnChip) run(plan);
    count_cuda_persistent_window();
  }
  template <class S>
  void run_wave(const std::vector<S>& steps) {
    for (size_t first = 0; first < steps.size(); first += kMaxWave) {
      Wave<S> wave;
      for (size_t i = first; i < steps.size() && wave.count < kMaxWave; ++i) wave.step[wave.count++] = steps[i];
      run(wave);
    }
  }

  TwoStreams streams_;
};

/// f(kernels) with the types of the states and of the products' operands.
template <class F>
auto with_kernels(const HMLSTMArguments& a, F f) {
  if (a.window.h0[0].scalar_type() == at::kDouble) {
    StreamWindowKernels<double, double> kernels;
    return f(kernels);
  }
  if (a.bfloat16()) {
    StreamWindowKernels<float, c10::BFloat16> kernels;
    return f(kernels);
  }
  StreamWindowKernels<float, float> kernels;
  return f(kernels);
}

HMLSTMForward operator_forward(const HMLSTMArguments& a, bool training) {
  const c10::cuda::CUDAGuard guard(a.window.input.device());
  return with_kernels(a, [&](auto& kernels) { return window_forward(a, training, kernels); });
}

HMLSTMGradients operator_backward(const HMLSTMArguments& a, const HMLSTMBackward& given) {
  const c10::cuda::CUDAGuard guard(a.window.input.device());
  return with_kernels(a, [&](auto& kernels) { return window_backward(a, given, kernels); });
}

}  // namespace

TORCH_LIBRARY_IMPL(hmrnn, CUDA, m) { register_backend<operator_forward, operator_backward>(m); }

}  // namespace hmrnn::cuda
