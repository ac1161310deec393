#pragma once

#include <cstdint>

namespace hmrnn::cpu {

/// The numbers of one Adam update (Kingma and Ba, 2015), the same for all of its values.
template <class T>
struct AdamStep {
  T gradient_scale;                    ///< gradients are multiplied by it (clipping)
  T l2;                                ///< weight decay that is added to the gradient, as l2 · parameter
  T shrink;                            ///< the parameter is multiplied by it first (decoupled weight decay)
  T beta2;                             ///< decay of the second moment
  T one_minus_beta1, one_minus_beta2;  ///< rounded once: 1 - beta2 of a rounded beta2 can be far off
  T step_size;                         ///< learning rate / (1 - beta1^n)
  T root_correction;                   ///< √(1 - beta2^n)
  T eps;                               ///< added to the root of the second moment
};

/// What a training step computes outside of the layers, compiled for one instruction set; T is float or double. Rows
/// of n values.
template <class T>
struct TrainingKernels {
  /// -log softmax(x)[target], and in dx, if it is not null, `scale` times its gradient with respect to x.
  T (*cross_entropy)(int64_t n, const T* x, int64_t target, T scale, T* dx) = nullptr;
  /// One update of a parameter and of its moments.
  void (*adam)(int64_t n, const AdamStep<T>& step, const T* gradient, T* parameter, T* moment,
               T* square_moment) = nullptr;
  /// average += share · (x - average)
  void (*average)(int64_t n, T share, const T* x, T* average) = nullptr;
};

struct AllTrainingKernels {
  TrainingKernels<float> float32;
  TrainingKernels<double> float64;
};

/// The kernels for this machine's CPU.
template <class T>
const TrainingKernels<T>& training_kernels();

}  // namespace hmrnn::cpu
