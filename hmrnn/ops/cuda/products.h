#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <initializer_list>

// Shared by the drivers of the CUDA backend: products through ATen, raw pointers.

namespace hmrnn::cuda {

/// out = a · b; bfloat16 operands are accumulated in float32 and `out` is float32. In float32, TF32 is LibTorch's own
/// switch (at::globalContext().setAllowTF32CuBLAS).
inline void multiply(at::Tensor out, const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() == out.scalar_type()) {
    at::mm_out(out, a, b);
  } else if (a.is_cuda()) {
    at::mm_out(out, a, b, out.scalar_type());
  } else {
    at::mm_out(out, a.to(out.scalar_type()), b.to(out.scalar_type()));
  }
}

/// The same into a new tensor of these options.
inline at::Tensor product(const at::Tensor& a, const at::Tensor& b, const at::TensorOptions& options) {
  auto out = at::empty({a.size(0), b.size(1)}, options);
  multiply(out, a, b);
  return out;
}

template <class T>
T* data(const at::Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

/// Null if the tensor is undefined or empty, as tensors that are not needed are.
template <class T>
T* data_or_null(const at::Tensor& x) {
  return x.defined() && x.numel() > 0 ? data<T>(x) : nullptr;
}

/// Whether all of them are aligned to 16 bytes: a caller's tensor may not be.
inline bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* p : pointers) {
    if (reinterpret_cast<uintptr_t>(p) % 16 != 0) return false;
  }
  return true;
}

}  // namespace hmrnn::cuda
