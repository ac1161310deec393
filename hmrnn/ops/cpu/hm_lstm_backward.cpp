// The window backwards (hm_lstm.h): every range's walk, then what all rows share.

#include <memory>

#include "hmrnn/ops/cpu/backward_pass.h"

namespace hmrnn::cpu {

namespace {

at::Tensor joined(const std::vector<at::Tensor>& parts, int64_t dim) {
  return parts.size() == 1 ? parts[0] : at::cat(parts, dim);
}

/// Memory for layer l's gradients of raw products: of all ranges, and each range's part of it.
template <class T, class P>
RawGradients raw_gradients(const HMLSTMArguments& a, const std::vector<at::Tensor>& saved, int64_t l,
                           std::vector<std::vector<RawGradients>>& ranges) {
  const auto options = a.h0[l].options().requires_grad(false).dtype(c10::CppTypeToScalarType<P>::value);
  const auto count = [&](size_t range, int which) {
    if (which == 1 && l == 0) return int64_t{0};
    const auto i = static_cast<int64_t>(range) * a.layers() + l;
    return LayerTape<T, P>::from(saved, i).counts.template const_data_ptr<int64_t>()[which];
  };
  for (auto& own : ranges) own.emplace_back();
  const auto table = [&](at::Tensor RawGradients::*which, int index) {
    int64_t rows = 0, from = 0;
    for (size_t i = 0; i < ranges.size(); ++i) rows += count(i, index);
    auto all = at::empty({rows, 4 * a.units(l)}, options);
    for (size_t i = 0; i < ranges.size(); ++i) {
      const int64_t n = count(i, index);
      ranges[i].back().*which = all.narrow(0, from, n);
      from += n;
    }
    return all;
  };
  return {table(&RawGradients::du, 0), table(&RawGradients::dw, 1), table(&RawGradients::dv, 2)};
}

template <class T, class P>
HMLSTMGradients backward(const HMLSTMArguments& a, const WindowResult& result, const std::vector<at::Tensor>& saved,
                         const typename Backward<T, P>::OutputGradients& grad) {
  const int64_t L = a.layers();
  // Forward's ranges, whatever the number of threads is by now.
  const auto tapes = static_cast<int64_t>(saved.size()) / LayerTape<T, P>::kTensors;
  std::vector<RowRange> ranges;
  for (int64_t i = 0, first = 0; i < tapes; i += L) {
    ranges.push_back({first, LayerTape<T, P>::from(saved, i).slot.size(1)});
    first += ranges.back().count;
  }
  WindowProducts<P> products(layer_views<T>(a), ranges[0].count, /*both=*/true);
  std::vector<RawGradients> raw;
  std::vector<std::vector<RawGradients>> raw_of(ranges.size());
  for (int64_t l = 0; l < L; ++l) raw.push_back(raw_gradients<T, P>(a, saved, l, raw_of));
  typename Backward<T, P>::Ranges parts(ranges.size());
  for_ranges(static_cast<int64_t>(ranges.size()), [&](int64_t i) {
    std::vector<LayerTape<T, P>> own;
    for (int64_t l = 0; l < L; ++l) own.push_back(LayerTape<T, P>::from(saved, i * L + l));
    parts[i] = std::make_unique<Backward<T, P>>(a, result, std::move(own), raw_of[i], grad, ranges[i], products);
    parts[i]->walk();
  });

  HMLSTMGradients g;
  // The last row is the boundary's, to which finish_sums adds; the others are overwritten.
  const auto unset = [](const std::vector<at::Tensor>& list) {
    std::vector<at::Tensor> out;
    for (const auto& x : list) {
      out.push_back(at::empty_like(x, x.options().requires_grad(false)));
      out.back().narrow(0, x.size(0) - 1, 1).zero_();
    }
    return out;
  };
  g.recurrent = unset(a.recurrent), g.bottom_up = unset(a.bottom_up), g.top_down = unset(a.top_down);
  Backward<T, P>::weight_gradients(parts, raw, g);
  for (size_t i = 1; i < parts.size(); ++i) parts[0]->add_sums(*parts[i]);
  std::vector<at::Tensor> input, z0;
  for (const auto& part : parts) {
    input.push_back(part->input_gradient(g));
    if (a.index) break;  // one table, whose sums parts[0] has
  }
  g.input = joined(input, a.index ? 0 : 1);
  parts[0]->finish_sums(g);
  for (int64_t l = 0; l < L; ++l) {
    std::vector<at::Tensor> h0, c0;
    for (const auto& part : parts) h0.push_back(part->h0_gradient(l)), c0.push_back(part->c0_gradient(l));
    g.h0.push_back(joined(h0, 0));
    g.c0.push_back(joined(c0, 0));
  }
  for (const auto& part : parts) z0.push_back(part->z0_gradient());
  if (z0[0].defined()) g.z0 = joined(z0, 0);
  return g;
}

}  // namespace

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const WindowResult& result,
                                 const std::vector<at::Tensor>& saved, const std::vector<at::Tensor>& grad_h,
                                 const std::vector<at::Tensor>& grad_c_n, const at::Tensor& grad_z) {
  const auto contiguous = [](const at::Tensor& x) { return x.defined() ? x.contiguous() : x; };
  const auto run = [&]<class T, class P>() {
    typename Backward<T, P>::OutputGradients grad{{}, grad_c_n, contiguous(grad_z)};
    for (const auto& x : grad_h) grad.h.push_back(contiguous(x));
    return backward<T, P>(a, result, saved, grad);
  };
  if (a.h0[0].scalar_type() == at::kDouble) return run.template operator()<double, double>();
  if (bfloat16_products(a)) return run.template operator()<float, c10::BFloat16>();
  return run.template operator()<float, float>();
}

}  // namespace hmrnn::cpu
