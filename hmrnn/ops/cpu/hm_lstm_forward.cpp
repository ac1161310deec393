// The window forwards (forward_pass.h), for every range of rows, and what it hands on.

#include <memory>

#include "hmrnn/ops/cpu/forward_pass.h"

namespace hmrnn::cpu {

namespace {

template <class T, class P>
HMLSTMForward forward(const HMLSTMArguments& a, bool training) {
  const int64_t L = a.layers(), steps = a.steps(), batch = a.batch();
  const auto options = a.h0[0].options().requires_grad(false);
  HMLSTMForward out;
  for (int64_t l = 0; l < L; ++l) out.result.h.push_back(at::empty({steps, batch, a.units(l)}, options));
  out.result.z = at::empty({steps, batch, L - 1}, options);
  out.result.state_index = at::empty({L, steps, batch}, options.dtype(at::kInt));

  const auto ranges = row_ranges(batch);
  WindowProducts<P> products(layer_views<T>(a), ranges[0].count, /*both=*/false);
  std::vector<std::unique_ptr<Forward<T, P>>> parts(ranges.size());
  for_ranges(static_cast<int64_t>(ranges.size()), [&](int64_t i) {
    parts[i] = std::make_unique<Forward<T, P>>(a, training, ranges[i], products, out.result);
    parts[i]->run();
  });
  for (int64_t l = 0; l < L; ++l) {
    std::vector<at::Tensor> c_n;
    for (const auto& part : parts) c_n.push_back(part->c_n(l));
    out.result.c_n.push_back(c_n.size() == 1 ? c_n[0] : at::cat(c_n));
  }
  if (training) {
    for (const auto& part : parts) {
      for (auto& x : part->saved()) out.saved.push_back(std::move(x));
    }
  }
  return out;
}

}  // namespace

HMLSTMForward hm_lstm_forward(const HMLSTMArguments& a, bool training) {
  if (a.h0[0].scalar_type() == at::kDouble) return forward<double, double>(a, training);
  if (bfloat16_products(a)) return forward<float, c10::BFloat16>(a, training);
  return forward<float, float>(a, training);
}

}  // namespace hmrnn::cpu
