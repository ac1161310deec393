#include "hmrnn/ops/cpu/cross_entropy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "hmrnn/ops/cpu/for_tasks.h"
#include "hmrnn/ops/cpu/training_kernel.h"

namespace hmrnn::cpu {

namespace {

/// A task has about so many logits: its time is far above that of taking the next one.
constexpr int64_t kTask = 8192;

template <class T>
void cross_entropy(const at::Tensor& logits, const at::Tensor& target, const std::optional<at::Tensor>& weight,
                   const at::Tensor& loss, const at::Tensor& gradient) {
  const auto& kernels = training_kernels<T>();
  const auto rows = logits.size(0), classes = logits.size(1);
  const T* x = logits.const_data_ptr<T>();
  const int64_t* symbol = target.const_data_ptr<int64_t>();
  const T* w = weight ? weight->const_data_ptr<T>() : nullptr;
  T* dx = gradient.numel() > 0 ? gradient.data_ptr<T>() : nullptr;
  for (int64_t i = 0; i < rows; ++i) {
    TORCH_CHECK_INDEX(symbol[i] >= 0 && symbol[i] < classes, "cross_entropy: target ", symbol[i], " is not in [0, ",
                      classes, ") (position ", i, " of ", rows, ")");
  }
  double total = static_cast<double>(rows);
  if (w != nullptr) {
    total = 0;
    for (int64_t i = 0; i < rows; ++i) total += static_cast<double>(w[i]);
  }

  std::vector<T> losses(static_cast<size_t>(rows));
  const auto together = std::max<int64_t>(1, kTask / classes);
  for_tasks((rows + together - 1) / together, [&](int64_t task) {
    for (int64_t i = task * together; i < std::min(rows, (task + 1) * together); ++i) {
      const double share = (w == nullptr ? 1.0 : static_cast<double>(w[i])) / total;
      losses[i] = kernels.cross_entropy(classes, x + i * classes, symbol[i], static_cast<T>(share),
                                        dx == nullptr ? nullptr : dx + i * classes);
    }
  });
  double sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    sum += static_cast<double>(losses[i]) * (w == nullptr ? 1.0 : static_cast<double>(w[i]));
  }
  *loss.data_ptr<T>() = static_cast<T>(sum / total);
}

}  // namespace

std::tuple<at::Tensor, at::Tensor> cross_entropy(const at::Tensor& logits, const at::Tensor& target,
                                                 const std::optional<at::Tensor>& weight, bool gradient) {
  const auto options = logits.options().requires_grad(false);
  const auto loss = at::empty({}, options);
  const auto out = at::empty(gradient ? logits.sizes() : at::IntArrayRef{0}, options);
  if (logits.scalar_type() == at::kDouble) {
    cross_entropy<double>(logits, target, weight, loss, out);
  } else {
    cross_entropy<float>(logits, target, weight, loss, out);
  }
  return {loss, out};
}

}  // namespace hmrnn::cpu
