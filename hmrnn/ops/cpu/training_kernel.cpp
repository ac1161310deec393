// Compiled once for each instruction set (cmake/CpuKernels.cmake), each under a factory name of its own.

#include "hmrnn/ops/cpu/training_kernel.h"

#include <array>
#include <cmath>
#include <limits>

#include "hmrnn/ops/cpu/kernel_factory.h"
#include "hmrnn/ops/cpu/vector_row.h"

namespace hmrnn::cpu {

#if !defined(__AVX512BF16__)  // these do not use bfloat16 instructions: the build for AVX-512 has them
namespace {

template <class T>
T largest(int64_t n, const T* x) {
  using V = at::vec::Vectorized<T>;
  V all(-std::numeric_limits<T>::infinity());
  int64_t j = 0;
  for (; j + V::size() <= n; j += V::size()) all = at::vec::maximum(all, V::loadu(x + j));
  if (j < n) all = V::set(all, at::vec::maximum(all, V::loadu(x + j, n - j)), n - j);
  T lanes[V::size()];
  all.store(lanes);
  T out = lanes[0];
  for (int i = 1; i < V::size(); ++i) out = lanes[i] > out ? lanes[i] : out;
  return out;
}

/// With a NaN among x every result is NaN: exp of a NaN is NaN, and so is a sum that contains it.
template <class T>
T cross_entropy(int64_t n, const T* x, int64_t target, T scale, T* dx) {
  const cell::VectorRow<T> row;
  using V = typename cell::VectorRow<T>::V;
  const T shift = largest(n, x);
  const T at_target = x[target];
  // In this order, since the difference of two large logits is exact.
  const auto loss = [&](T sum) { return std::log(sum) + (shift - at_target); };
  const auto power = [&](auto at) { return (at.load(x) - V(shift)).exp(); };
  if (dx == nullptr) {
    const T sum = row.template sums<1>(n, [&](auto at) { return std::array<V, 1>{power(at)}; })[0];
    return loss(sum);
  }
  const T sum = row.template sums<1>(n, [&](auto at) {
    const V p = power(at);
    at.store(dx, p);
    return std::array<V, 1>{p};
  })[0];
  const T factor = scale / sum;
  row.each(n, [&](auto at) { at.store(dx, at.load(dx) * V(factor)); });
  dx[target] -= scale;
  return loss(sum);
}

template <class T>
void adam(int64_t n, const AdamStep<T>& step, const T* gradient, T* parameter, T* moment, T* square_moment) {
  using V = typename cell::VectorRow<T>::V;
  const V scale(step.gradient_scale), l2(step.l2), shrink(step.shrink), one_minus_beta1(step.one_minus_beta1),
      beta2(step.beta2), one_minus_beta2(step.one_minus_beta2), size(step.step_size), root(step.root_correction),
      eps(step.eps);
  const bool decays = step.l2 != 0;
  cell::VectorRow<T>().each(n, [&](auto at) {
    const V p = at.load(parameter);
    V g = at.load(gradient) * scale;
    if (decays) g = g + l2 * p;
    const V m = at.load(moment), next_m = m + one_minus_beta1 * (g - m);
    const V next_v = beta2 * at.load(square_moment) + one_minus_beta2 * g * g;
    at.store(moment, next_m);
    at.store(square_moment, next_v);
    at.store(parameter, shrink * p - size * next_m / (next_v.sqrt() / root + eps));
  });
}

template <class T>
void average(int64_t n, T share, const T* x, T* average) {
  using V = typename cell::VectorRow<T>::V;
  cell::VectorRow<T>().each(n, [&](auto at) {
    const V a = at.load(average);
    at.store(average, a + V(share) * (at.load(x) - a));
  });
}

template <class T>
TrainingKernels<T> make() {
  return {cross_entropy<T>, adam<T>, average<T>};
}

}  // namespace
#endif

void HMRNN_FACTORY(training_kernels)([[maybe_unused]] AllTrainingKernels& all) {
#if !defined(__AVX512BF16__)
  all.float32 = make<float>();
  all.float64 = make<double>();
#endif
}

}  // namespace hmrnn::cpu
