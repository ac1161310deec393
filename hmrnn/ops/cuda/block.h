#pragma once

// The Row policy of cell_math.h for a block of threads: one block computes one row of the batch. The block is a
// template parameter with
//   thread(), threads()     index of the calling thread, number of threads
//   barrier()               waits for all threads of the block, whose earlier writes are then visible to all
//   group(), groups()       sub-groups of threads that can sum among themselves (CUDA: the warps)
//   leads_group(), group_sum(x)
//   shared()                BlockMemory that all threads see
// CudaBlock below is the real one; tests/support/host_block.h runs the same code on the host, without a GPU.

#include <array>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "hmrnn/ops/cell_math.h"

// Unrolls loops over the products of a step, so that what they index stays in registers instead of local memory.
#ifdef __CUDACC__
#define HMRNN_UNROLL _Pragma("unroll")
#else
#define HMRNN_UNROLL
#endif

namespace hmrnn::cuda {

constexpr int64_t kMaxSums = 4;     ///< most sums that are computed at once
constexpr int64_t kMaxGroups = 32;  ///< 1024 threads are 32 warps

/// Shared memory of a block's reductions: two halves, each with the sums of every group.
struct alignas(32) BlockMemory {
  unsigned char bytes[2 * kMaxGroups * kMaxSums * sizeof(double)];
};

/// N values that are loaded and stored at once.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];

  Pack() = default;
  HMRNN_HOST_DEVICE explicit Pack(T x) {
    for (int k = 0; k < N; ++k) v[k] = x;
  }

#define HMRNN_PACK_OPERATOR(op)                                             \
  HMRNN_HOST_DEVICE friend Pack operator op(const Pack& a, const Pack& b) { \
    Pack out;                                                               \
    for (int k = 0; k < N; ++k) out.v[k] = a.v[k] op b.v[k];                \
    return out;                                                             \
  }
  HMRNN_PACK_OPERATOR(+)
  HMRNN_PACK_OPERATOR(-)
  HMRNN_PACK_OPERATOR(*)
  HMRNN_PACK_OPERATOR(/)
#undef HMRNN_PACK_OPERATOR
};

/// x where `where` is positive, else 0, value by value.
template <class T>
HMRNN_HOST_DEVICE std::enable_if_t<std::is_floating_point_v<T>, T> where_positive(T where, T x) {
  return where > T(0) ? x : T(0);
}
template <class T, int N>
HMRNN_HOST_DEVICE Pack<T, N> where_positive(const Pack<T, N>& where, const Pack<T, N>& x) {
  Pack<T, N> out;
  for (int k = 0; k < N; ++k) out.v[k] = where_positive(where.v[k], x.v[k]);
  return out;
}

/// A block's loops over a row, N neighbouring values a thread at a time: N > 1 needs row lengths that N divides, and
/// pointers aligned to N values. The thread that visits position j is the same in every loop over the same n, so loops
/// of one length need no barrier between them; between loops of different lengths over the same memory there has to be
/// one. At most one BlockRow a kernel (they would share memory).
template <class Block, class Scalar, int N>
class BlockRow {
 public:
  static constexpr bool kUnswitch = false;
  using T = Scalar;
  using V = std::conditional_t<N == 1, T, Pack<T, N>>;

  struct At {
    int64_t j;

    HMRNN_HOST_DEVICE V load(const T* p) const {
      in_global_memory(p);
      if constexpr (N == 1) {
        return p[j];
      } else {
        return *reinterpret_cast<const Pack<T, N>*>(p + j);
      }
    }
    /// Q may be narrower than T: what a product in bfloat16 reads is rounded here.
    template <class Q>
    HMRNN_HOST_DEVICE void store(Q* p, const V& v) const {
      in_global_memory(p);
      if constexpr (N == 1) {
        p[j] = static_cast<Q>(v);
      } else {
        Pack<Q, N> out;
        for (int k = 0; k < N; ++k) out.v[k] = static_cast<Q>(v.v[k]);
        *reinterpret_cast<Pack<Q, N>*>(p + j) = out;
      }
    }
    HMRNN_HOST_DEVICE void add(T* p, const V& v) const { store(p, load(p) + v); }
    HMRNN_HOST_DEVICE V factors(const cell::Dropout<T>& dropout) const {
      if constexpr (N == 1) {
        return dropout.factor(static_cast<uint32_t>(j));
      } else {
        V out;
        for (int k = 0; k < N; ++k) out.v[k] = dropout.factor(static_cast<uint32_t>(j + k));
        return out;
      }
    }

   private:
    /// Rows are never in shared memory. The compiler cannot infer this for a pointer that was itself loaded from there.
    HMRNN_HOST_DEVICE static void in_global_memory([[maybe_unused]] const void* p) {
#ifdef __CUDA_ARCH__
      __builtin_assume(__isGlobal(p));
#endif
    }
  };

  HMRNN_HOST_DEVICE explicit BlockRow(const Block& block) : block_(block) {}

  template <class F>
  HMRNN_HOST_DEVICE void each(int64_t n, F f) const {
    const int64_t stride = static_cast<int64_t>(block_.threads()) * N;
    for (int64_t j = static_cast<int64_t>(block_.thread()) * N; j < n; j += stride) f(At{j});
  }

  /// Every thread gets the sums. They are added in an order that depends on the block's size alone. There is a barrier
  /// after the loop: what f wrote is visible to all threads.
  template <int K, class F>
  HMRNN_HOST_DEVICE std::array<T, K> sums(int64_t n, F f) const {
    static_assert(K <= kMaxSums, "shared memory is laid out for kMaxSums");
    std::array<V, K> part;
    for (int k = 0; k < K; ++k) part[k] = V(T(0));
    each(n, [&](At at) {
      const std::array<V, K> x = f(at);
      for (int k = 0; k < K; ++k) part[k] = part[k] + x[k];
    });
    // The two halves of the shared memory alternate, so that one barrier per sum is enough: a thread may still read the
    // previous sum's half while another already writes this one's, and no thread writes to a half again before the
    // barrier that follows all reads of it.
    using Sums = Pack<T, kMaxSums>;  // stored and loaded at once, whatever K is
    Sums* shared = reinterpret_cast<Sums*>(block_.shared()) + half_ * kMaxGroups;
    half_ ^= 1;
    Sums sums(T(0));
    for (int k = 0; k < K; ++k) sums.v[k] = block_.group_sum(across(part[k]));
    if (block_.leads_group()) shared[block_.group()] = sums;
    block_.barrier();
    sums = shared[0];
    for (int g = 1; g < block_.groups(); ++g) {
      const Sums more = shared[g];
      for (int k = 0; k < K; ++k) sums.v[k] += more.v[k];
    }
    std::array<T, K> out;
    for (int k = 0; k < K; ++k) out[k] = sums.v[k];
    return out;
  }

  HMRNN_HOST_DEVICE void barrier() const { block_.barrier(); }
  HMRNN_HOST_DEVICE bool first() const { return block_.thread() == 0; }

  HMRNN_HOST_DEVICE V sigmoid(const V& x) const {
    if constexpr (N == 1) {
      return reciprocal(T(1) + std::exp(-x));
    } else {
      V out;
      for (int k = 0; k < N; ++k) out.v[k] = reciprocal(T(1) + std::exp(-x.v[k]));
      return out;
    }
  }
  HMRNN_HOST_DEVICE T sqrt(T x) const { return std::sqrt(x); }

 private:
  /// Within 2 ulp in float32: exact division has a branch for every value.
  HMRNN_HOST_DEVICE static T reciprocal(T x) {
#ifdef __CUDA_ARCH__
    if constexpr (std::is_same_v<T, float>) return __fdividef(1.0f, x);
#endif
    return T(1) / x;
  }
  HMRNN_HOST_DEVICE static T across(const V& x) {
    if constexpr (N == 1) {
      return x;
    } else {
      T s = x.v[0];
      for (int k = 1; k < N; ++k) s += x.v[k];
      return s;
    }
  }

  const Block& block_;
  mutable int half_ = 0;
};

#ifdef __CUDACC__

/// A CUDA thread block of one dimension, its size a multiple of 32; `shared`: in shared memory.
class CudaBlock {
 public:
  __device__ explicit CudaBlock(BlockMemory* shared) : shared_(shared) {}

  // Host and device, as the row functions are, though there is nothing to run on the host.
#ifdef __CUDA_ARCH__
  __host__ __device__ int thread() const { return static_cast<int>(threadIdx.x); }
  __host__ __device__ int threads() const { return static_cast<int>(blockDim.x); }
  __host__ __device__ void barrier() const { __syncthreads(); }
  template <class T>
  __host__ __device__ T group_sum(T x) const {
    for (int offset = 16; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
    return x;
  }
#else
  __host__ __device__ int thread() const { return 0; }
  __host__ __device__ int threads() const { return 1; }
  __host__ __device__ void barrier() const {}
  template <class T>
  __host__ __device__ T group_sum(T x) const {
    return x;
  }
#endif
  __host__ __device__ int group() const { return thread() / 32; }
  __host__ __device__ int groups() const { return (threads() + 31) / 32; }
  __host__ __device__ bool leads_group() const { return thread() % 32 == 0; }
  __host__ __device__ BlockMemory* shared() const { return shared_; }

 private:
  BlockMemory* shared_;
};

#endif  // __CUDACC__

}  // namespace hmrnn::cuda
