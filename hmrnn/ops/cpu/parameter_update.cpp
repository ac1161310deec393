#include "hmrnn/ops/cpu/parameter_update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/for_tasks.h"
#include "hmrnn/ops/cpu/training_kernel.h"

namespace hmrnn::cpu {

namespace {

/// Values [begin, begin + size) of a tensor
struct Piece {
  size_t tensor;
  int64_t begin, size;
};

/// A piece and its moments stay in a second-level cache, and its time is far above that of taking the next one.
constexpr int64_t kPiece = int64_t{16} * 1024;

std::vector<Piece> pieces_of(at::TensorList tensors) {
  std::vector<Piece> out;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto n = tensors[i].numel();
    for (int64_t begin = 0; begin < n; begin += kPiece) out.push_back({i, begin, std::min(kPiece, n - begin)});
  }
  return out;
}

/// Tensors that kernels write, each as contiguous memory: a tensor of other strides as a copy, which `write_back`
/// copies into it.
class Written {
 public:
  explicit Written(at::TensorList tensors) : tensors_(tensors) {
    for (const auto& x : tensors) memory_.push_back(x.contiguous());
  }
  template <class T>
  T* at(const Piece& piece) const {
    return memory_[piece.tensor].data_ptr<T>() + piece.begin;
  }
  void write_back() const {
    for (size_t i = 0; i < memory_.size(); ++i) {
      if (memory_[i].is_same(tensors_[i])) {
        tensors_[i].unsafeGetTensorImpl()->bump_version();  // as LibTorch's in-place operations do
      } else {
        tensors_[i].copy_(memory_[i]);
      }
    }
  }

 private:
  at::TensorList tensors_;
  std::vector<at::Tensor> memory_;
};

std::vector<at::Tensor> contiguous(at::TensorList tensors) {
  std::vector<at::Tensor> out;
  for (const auto& x : tensors) out.push_back(x.contiguous());
  return out;
}

template <class T>
AdamReport clipped_adam(const AdamTensors& t, const AdamNumbers& n) {
  const auto& kernels = training_kernels<T>();
  const auto pieces = pieces_of(t.parameters);
  const auto count = static_cast<int64_t>(pieces.size());
  const auto gradients = contiguous(t.gradients);
  const auto gradient = [&](const Piece& piece) {
    return gradients[piece.tensor].template const_data_ptr<T>() + piece.begin;
  };

  std::vector<T> square_sums(pieces.size());
  for_tasks(count, [&](int64_t i) {
    const T* g = gradient(pieces[i]);
    square_sums[i] = cell_kernels<T>().dot(pieces[i].size, g, g);
  });
  std::vector<double> squares(gradients.size(), 0.0);
  double square = 0;
  for (int64_t i = 0; i < count; ++i) {
    squares[pieces[i].tensor] += static_cast<double>(square_sums[i]);
    square += static_cast<double>(square_sums[i]);
  }

  AdamReport report;
  const auto options = t.parameters[0].options().requires_grad(false);
  report.norms = at::empty({static_cast<int64_t>(squares.size())}, options);
  std::transform(squares.begin(), squares.end(), report.norms.template data_ptr<T>(),
                 [](double x) { return static_cast<T>(std::sqrt(x)); });
  const double norm = std::sqrt(square);
  report.norm = at::full({}, norm, options);
  const auto flag = [&](bool value) { return at::full({}, value ? 1.0 : 0.0, options.dtype(at::kFloat)); };
  // A norm whose square overflows T is as useless as a NaN.
  const bool finite = std::isfinite(static_cast<T>(square)) && std::isfinite(t.loss.item<double>());
  const bool skipped = !finite || (n.skip_norm > 0 && static_cast<T>(norm) > static_cast<T>(n.skip_norm));
  report.not_finite = flag(!finite);
  report.skipped = flag(skipped);
  if (skipped) return report;

  const double updates = t.updates.item<double>() + 1, rate = t.learning_rate.item<double>();
  AdamStep<T> step;
  step.gradient_scale = static_cast<T>(n.clip > 0 ? 1 / std::max(1.0, norm / n.clip) : 1.0);
  step.one_minus_beta1 = static_cast<T>(1 - n.beta1);
  step.one_minus_beta2 = static_cast<T>(1 - n.beta2);
  step.beta2 = static_cast<T>(n.beta2);
  step.step_size = static_cast<T>(rate / (1 - std::pow(n.beta1, updates)));
  step.root_correction = static_cast<T>(std::sqrt(1 - std::pow(n.beta2, updates)));
  step.eps = static_cast<T>(n.eps);
  const auto with_decay = [&](double decay) {
    auto out = step;
    out.l2 = static_cast<T>(n.decoupled ? 0 : decay);
    out.shrink = static_cast<T>(n.decoupled ? 1 - rate * decay : 1);
    return out;
  };
  const auto of_matrices = with_decay(n.weight_decay), of_vectors = with_decay(0);
  const Written parameters(t.parameters), moments(t.exp_avg), square_moments(t.exp_avg_sq);
  for_tasks(count, [&](int64_t i) {
    const auto& piece = pieces[i];
    kernels.adam(piece.size, static_cast<int64_t>(piece.tensor) < n.matrices ? of_matrices : of_vectors,
                 gradient(piece), parameters.at<T>(piece), moments.at<T>(piece), square_moments.at<T>(piece));
  });
  t.updates.add_(1);
  for (const auto* written : {&parameters, &moments, &square_moments}) written->write_back();
  return report;
}

template <class T>
void average(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  const auto& kernels = training_kernels<T>();
  const auto pieces = pieces_of(averages);
  const auto x = contiguous(values);
  const Written written(averages);
  const auto factor = static_cast<T>(share.item<double>());
  for_tasks(static_cast<int64_t>(pieces.size()), [&](int64_t i) {
    const auto& piece = pieces[i];
    kernels.average(piece.size, factor, x[piece.tensor].template const_data_ptr<T>() + piece.begin,
                    written.at<T>(piece));
  });
  written.write_back();
}

}  // namespace

AdamReport clipped_adam_(const AdamTensors& tensors, const AdamNumbers& numbers) {
  return tensors.parameters[0].scalar_type() == at::kDouble ? clipped_adam<double>(tensors, numbers)
                                                            : clipped_adam<float>(tensors, numbers);
}

void average_(at::TensorList averages, at::TensorList values, const at::Tensor& share) {
  if (averages[0].scalar_type() == at::kDouble) return average<double>(averages, values, share);
  average<float>(averages, values, share);
}

}  // namespace hmrnn::cpu
