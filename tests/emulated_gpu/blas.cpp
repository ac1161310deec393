// The part of cuBLAS that LibTorch's matrix product uses (aten::mm, also of bfloat16 into float32). Everything above
// it, from the checks of strides to handles and workspaces in a capture, is LibTorch's own code. The functions replace
// those of the empty library (stubs.sh). Types and numbers follow cuBLAS's interface, whose header may be missing.
#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "device.h"

namespace emulated_gpu {

namespace {

enum Status { kSuccess = 0, kInvalidValue = 7, kExecutionFailed = 13, kNotSupported = 15 };

struct Handle {
  cudaStream_t stream = nullptr;
  int math_mode = 0, pointer_mode = 0;
};

/// cudaDataType
std::optional<at::ScalarType> type_of(int data_type) {
  switch (data_type) {
    case 0:
      return at::kFloat;
    case 1:
      return at::kDouble;
    case 14:
      return at::kBFloat16;
    default:
      return std::nullopt;
  }
}

struct Matrix {
  void* data;
  at::ScalarType type;
  int64_t leading;

  /// Column-major.
  at::Tensor tensor(int64_t rows, int64_t columns, bool transposed) const {
    return at::from_blob(data, {rows, columns},
                         transposed ? std::vector<int64_t>{leading, 1} : std::vector<int64_t>{1, leading},
                         at::TensorOptions(type));
  }
};

/// Rounded to TF32's 10 bits of mantissa.
at::Tensor tf32(const at::Tensor& x) {
  const auto bits = x.contiguous().view(at::kInt);
  return (bits + 0x1000).bitwise_and(~0x1fff).view(at::kFloat);
}

/// c = alpha · op(a) · op(b) + beta · c in `type`
int multiply(void* handle, int op_a, int op_b, int64_t m, int64_t n, int64_t k, double alpha, Matrix a, Matrix b,
             double beta, Matrix c, at::ScalarType type) {
  const bool ta = op_a != 0, tb = op_b != 0;
  if (m < 0 || n < 0 || k < 0 || a.leading < std::max<int64_t>(1, ta ? k : m) ||
      b.leading < std::max<int64_t>(1, tb ? n : k) || c.leading < std::max<int64_t>(1, m)) {
    return kInvalidValue;
  }
  constexpr int tf32_math = 3;
  const bool rounded = a.type == at::kFloat && static_cast<Handle*>(handle)->math_mode == tf32_math;
  const auto error = enqueue(static_cast<Handle*>(handle)->stream, "cublas gemm", [=] {
    const auto x = a.tensor(m, k, ta).to(type), y = b.tensor(k, n, tb).to(type);
    auto out = (rounded ? at::mm(tf32(x), tf32(y)) : at::mm(x, y)) * alpha;
    const auto to = c.tensor(m, n, false);
    if (beta != 0) out += to.to(type) * beta;  // cuBLAS does not read c if beta is 0
    to.copy_(out);
  });
  return error == cudaSuccess ? kSuccess : kExecutionFailed;
}

template <class T>
int multiply(void* handle, int op_a, int op_b, int m, int n, int k, const T* alpha, const T* a, int lda, const T* b,
             int ldb, const T* beta, T* c, int ldc) {
  constexpr auto type = c10::CppTypeToScalarType<T>::value;
  return multiply(handle, op_a, op_b, m, n, k, *alpha, {const_cast<T*>(a), type, lda}, {const_cast<T*>(b), type, ldb},
                  *beta, {c, type, ldc}, type);
}

}  // namespace

}  // namespace emulated_gpu

using namespace emulated_gpu;

#define CUBLAS extern "C" [[gnu::visibility("default")]] int

CUBLAS cublasCreate_v2(void** handle) {
  if (check_unsafe_call() != cudaSuccess) return kExecutionFailed;  // creating a handle allocates memory
  *handle = new Handle;
  return kSuccess;
}
CUBLAS cublasDestroy_v2(void* handle) {
  delete static_cast<Handle*>(handle);
  return kSuccess;
}
CUBLAS cublasSetStream_v2(void* handle, cudaStream_t stream) {
  static_cast<Handle*>(handle)->stream = stream;
  return kSuccess;
}
CUBLAS cublasSetWorkspace_v2(void*, void* workspace, size_t) {
  return kind_of(workspace) == MemoryKind::Device ? kSuccess : kInvalidValue;
}
CUBLAS cublasSetMathMode(void* handle, int mode) {
  static_cast<Handle*>(handle)->math_mode = mode;
  return kSuccess;
}
CUBLAS cublasGetMathMode(void* handle, int* mode) {
  *mode = static_cast<Handle*>(handle)->math_mode;
  return kSuccess;
}
CUBLAS cublasSetPointerMode_v2(void* handle, int mode) {
  static_cast<Handle*>(handle)->pointer_mode = mode;
  return mode == 0 ? kSuccess : kNotSupported;  // alpha and beta are on the host
}
CUBLAS cublasGetPointerMode_v2(void* handle, int* mode) {
  *mode = static_cast<Handle*>(handle)->pointer_mode;
  return kSuccess;
}

CUBLAS cublasSgemm_v2(void* handle, int op_a, int op_b, int m, int n, int k, const float* alpha, const float* a,
                      int lda, const float* b, int ldb, const float* beta, float* c, int ldc) {
  return multiply(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
CUBLAS cublasDgemm_v2(void* handle, int op_a, int op_b, int m, int n, int k, const double* alpha, const double* a,
                      int lda, const double* b, int ldb, const double* beta, double* c, int ldc) {
  return multiply(handle, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
CUBLAS cublasGemmEx(void* handle, int op_a, int op_b, int m, int n, int k, const void* alpha, const void* a, int type_a,
                    int lda, const void* b, int type_b, int ldb, const void* beta, void* c, int type_c, int ldc,
                    int compute, int) {
  constexpr int compute_float32 = 68;
  const auto ta = type_of(type_a), tb = type_of(type_b), tc = type_of(type_c);
  // What cuBLAS supports with float32 sums: operands of one type, the result in that type or float32.
  if (compute != compute_float32 || !ta || !tb || !tc || ta != tb || (tc != ta && tc != at::kFloat))
    return kNotSupported;
  return multiply(handle, op_a, op_b, m, n, k, *static_cast<const float*>(alpha), {const_cast<void*>(a), *ta, lda},
                  {const_cast<void*>(b), *tb, ldb}, *static_cast<const float*>(beta), {c, *tc, ldc}, at::kFloat);
}
