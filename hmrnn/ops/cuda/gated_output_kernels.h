#pragma once

// The kernels of the gated output: what is computed between its products, for all steps of a window at once. One block
// computes one step of one row.

#include <c10/util/BFloat16.h>

#include "hmrnn/ops/cuda/block.h"

namespace hmrnn::cuda {

/// y = max(Σ_l gate_l · x_l, 0); the caller keeps what backward needs. n = T·B.
template <class T>
struct GatedSum {
  int64_t n = 0;
  int64_t layers = 0;
  int64_t out = 0;
  bool wide = false;        ///< row lengths are multiples of 4 values, all pointers aligned to 16 bytes
  const T* gate = nullptr;  ///< [n, layers]
  const T* x = nullptr;     ///< [layers, n, out] W^e_l h_l
  T* y = nullptr;           ///< [n, out]
};

/// With e = dy where y > 0, else 0: scaled_l = gate_l · e, and the gradient of the gate's pre-activation
/// g(1-g) e·x_l.
template <class T, class P>
struct GatedSumBackward {
  int64_t n = 0;
  int64_t layers = 0;
  int64_t out = 0;
  bool wide = false;
  const T* gate = nullptr;
  const T* x = nullptr;
  const T* y = nullptr;
  const T* dy = nullptr;
  P* scaled = nullptr;  ///< [layers, n, out], as the products read it
  T* d_pre = nullptr;   ///< [n, layers]
};

/// Interface for running the kernels: on CUDA (gated_output.cpp), or on the host in tests
/// (tests/support/host_kernels.h).
template <class T, class P>
class GatedOutputKernels {
 public:
  virtual ~GatedOutputKernels() = default;
  virtual void gated_sum(const GatedSum<T>& sum) = 0;
  virtual void gated_sum_backward(const GatedSumBackward<T, P>& sum) = 0;
};

template <int N, class Block, class T>
HMRNN_HOST_DEVICE void gated_sum(const Block& block, int64_t i, const GatedSum<T>& s) {
  const BlockRow<Block, T, N> row(block);
  using V = typename BlockRow<Block, T, N>::V;
  const T* gate = s.gate + i * s.layers;
  row.each(s.out, [&](auto at) {
    V sum(T(0));
    for (int64_t l = 0; l < s.layers; ++l) sum = sum + V(gate[l]) * at.load(s.x + (l * s.n + i) * s.out);
    at.store(s.y + i * s.out, where_positive(sum, sum));
  });
}

template <int N, class Block, class T, class P>
HMRNN_HOST_DEVICE void gated_sum_backward(const Block& block, int64_t i, const GatedSumBackward<T, P>& s) {
  const BlockRow<Block, T, N> row(block);
  using V = typename BlockRow<Block, T, N>::V;
  for (int64_t l = 0; l < s.layers; ++l) {
    const T gate = s.gate[i * s.layers + l];
    const int64_t place = (l * s.n + i) * s.out;
    const T dot = row.template sums<1>(s.out, [&](auto at) {
      const V e = where_positive(at.load(s.y + i * s.out), at.load(s.dy + i * s.out));
      at.store(s.scaled + place, V(gate) * e);
      return std::array<V, 1>{e * at.load(s.x + place)};
    })[0];
    if (row.first()) s.d_pre[i * s.layers + l] = dot * gate * (T(1) - gate);
  }
}

}  // namespace hmrnn::cuda
