// hmrnn::_gated_output_forward and _gated_output_backward for CUDA.

#include <c10/cuda/CUDAGuard.h>
#include <torch/library.h>

#include "hmrnn/ops/cuda/current_stream.h"
#include "hmrnn/ops/cuda/gated_output_window.h"
#include "hmrnn/ops/gated_output_schema.h"
#include "hmrnn/ops/saved_tensors.h"

namespace hmrnn::cuda {

namespace {

template <class T, class P>
class StreamOutputKernels : public GatedOutputKernels<T, P> {
 public:
  void gated_sum(const GatedSum<T>& sum) override { run(sum); }
  void gated_sum_backward(const GatedSumBackward<T, P>& sum) override { run(sum); }
};

/// f(kernels) with the types of the states and of the products' operands.
template <class F>
auto with_kernels(at::ScalarType type, std::optional<at::ScalarType> product_dtype, F f) {
  if (type == at::kDouble) {
    StreamOutputKernels<double, double> kernels;
    return f(kernels);
  }
  if (product_dtype == at::kBFloat16) {
    StreamOutputKernels<float, c10::BFloat16> kernels;
    return f(kernels);
  }
  StreamOutputKernels<float, float> kernels;
  return f(kernels);
}

std::tuple<at::Tensor, at::Tensor> forward(at::TensorList h, const std::optional<at::Tensor>&, const at::Tensor& gates,
                                           at::TensorList embedding, std::optional<at::ScalarType> product_dtype) {
  const c10::cuda::CUDAGuard guard(gates.device());
  auto [output, saved] = with_kernels(gates.scalar_type(), product_dtype, [&](auto& kernels) {
    return gated_output_forward(h, gates, embedding, kernels);
  });
  return {output, pack_saved(std::move(saved), gates.device())};
}

std::vector<at::Tensor> backward(at::TensorList h, const at::Tensor& gates, at::TensorList embedding,
                                 const at::Tensor& output, const at::Tensor& saved, const at::Tensor& grad,
                                 std::optional<at::ScalarType> product_dtype) {
  const c10::cuda::CUDAGuard guard(gates.device());
  return with_kernels(gates.scalar_type(), product_dtype, [&](auto& kernels) {
    return gated_output_backward(h, gates, embedding, output, unpack_saved(saved), grad, kernels);
  });
}

// LibTorch would find a mismatch only when the library is opened.
static_assert(std::is_same_v<decltype(forward), GatedOutputForwardOperator>);
static_assert(std::is_same_v<decltype(backward), GatedOutputBackwardOperator>);

}  // namespace

TORCH_LIBRARY_IMPL(hmrnn, CUDA, m) {
  m.impl("_gated_output_forward", forward);
  m.impl("_gated_output_backward", backward);
}

}  // namespace hmrnn::cuda
