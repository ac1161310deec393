// Shared by the two files of operators.
#pragma once

#include <ATen/ATen.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <set>
#include <string>
#include <vector>

#include "device.h"

namespace emulated_gpu {

inline cudaStream_t current_stream() { return c10::cuda::getCurrentCUDAStream().stream(); }

/// Enqueues work in the current stream; throws like a failed launch.
inline void launch(const std::string& what, Work work) {
  const auto error = enqueue(current_stream(), what, std::move(work));
  TORCH_CHECK(error == cudaSuccess, "launch of ", what, ": ", cudaGetErrorString(error));
}

/// Address, sizes and strides of a tensor without ownership: the allocator may reuse the memory, as on a GPU.
struct Place {
  void* data;
  std::vector<int64_t> sizes, strides;
  at::ScalarType type;

  explicit Place(const at::Tensor& x)
      : data(x.data_ptr()), sizes(x.sizes().vec()), strides(x.strides().vec()), type(x.scalar_type()) {}
  at::Tensor on_host() const { return at::from_blob(data, sizes, strides, at::TensorOptions(type)); }
};

/// Names ("name.overload") of the operators that need their own implementation (custom_operators.cpp).
const std::set<std::string>& custom_operators();
void register_custom_operators(torch::Library& library);

}  // namespace emulated_gpu
