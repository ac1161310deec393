// The backward pass over a window: the steps, then the gradients of what all steps share.

#include "hmrnn/ops/cpu/hm_lstm_backward.h"

#include <deque>

#include "hmrnn/ops/cpu/for_tasks.h"

namespace hmrnn::cpu {

template <class T, class P>
BackwardWindow<T, P>::BackwardWindow(const HMLSTMArguments& a, const HMLSTMBackward& given)
    : layers(layer_views<T>(a)),
      options(a.window.h0[0].options().requires_grad(false)),
      products(options.dtype(c10::CppTypeToScalarType<P>::value)),
      input(a.window.input.to(products.dtype())) {
  const int64_t steps = a.steps(), batch = a.batch(), L = a.num_layers();
  // Boundary rows are added to, and the gradient of a sequence's input is not written past its end: both start as
  // zeros. Everything else is overwritten.
  const auto like = [](const at::Tensor& x) {
    auto out = empty_table(x.sizes(), x.options().requires_grad(false));
    out.narrow(0, x.size(0) - 1, 1).zero_();
    return out;
  };
  if (given.input_gradient) {
    const auto& x = a.window.input;
    g.window.input = a.window.lengths.defined() ? at::zeros_like(x, options) : at::empty_like(x, options);
  }
  const bool detect = a.detect() && L > 1;
  if (detect) g.window.z0 = at::empty({batch, L - 1}, options);
  g.layers.resize(L);
  for (int64_t l = 0; l < L; ++l) {
    const auto& p = a.layers[l];
    g.layers[l].recurrent = like(p.recurrent);
    g.layers[l].bottom_up = like(p.bottom_up);
    if (!layers[l].top()) g.layers[l].top_down = like(p.top_down);
    g.window.h0.push_back(at::zeros({batch, layers[l].d}, options));
    g.window.c0.push_back(given.grad_c_n[l].defined() ? given.grad_c_n[l].clone(at::MemoryFormat::Contiguous)
                                                      : at::zeros({batch, layers[l].d}, options));
    d_pre.push_back(detect && !layers[l].top() ? at::zeros({steps, batch}, options) : at::Tensor());
  }
}

namespace {

/// Reuses what forward has packed of the weights. The transposed weights are packed here if there are several shares,
/// else memory is allocated for them.
template <class T, class P>
void prepare(const HMLSTMArguments& a, const HMLSTMBackward& given, int64_t shares, WindowProducts<P>& products) {
  const int64_t L = a.num_layers();
  std::vector<Product<P>*> used;
  for (int64_t l = 0; l < L; ++l) {
    int64_t counts[3] = {};
    for (int64_t i = 0; i < shares; ++i) {
      const auto tape = LayerTape<T, P>::from(given.saved, i * L + l);
      for (int which = 0; which < 3; ++which) counts[which] += tape.counts.template const_data_ptr<int64_t>()[which];
      if (i > 0) continue;
      products.recurrent[l].reuse(tape.packed_u);
      products.bottom_up[l].reuse(tape.packed_w);
      products.top_down[l].reuse(tape.packed_v);
    }
    const bool table = l == 0 && a.indexed();  // its products are not counted
    if (counts[0] > 0) used.push_back(&products.recurrent[l]);
    if ((counts[1] > 0 || table) && (l > 0 || given.input_gradient)) used.push_back(&products.bottom_up[l]);
    if (counts[2] > 0) used.push_back(&products.top_down[l]);
  }
  if (shares == 1) {
    for (auto* matrix : used) matrix->reserve_backward();
  } else {
    for_tasks(static_cast<int64_t>(used.size()), [&](int64_t i) { used[i]->pack_backward(); });
  }
}

template <class T, class P>
HMLSTMGradients backward(const HMLSTMArguments& a, const HMLSTMBackward& given) {
  // Forward chose the number of shares: each of its passes saved a tape per layer, and the last tensor is state_index.
  const int64_t shares = static_cast<int64_t>(given.saved.size() - 1) / (a.num_layers() * LayerTape<T, P>::kTensors);
  BackwardWindow<T, P> window(a, given);
  WindowProducts<P> products(window.layers);
  prepare<T, P>(a, given, shares, products);
  std::deque<WindowProducts<P>> own;
  std::deque<Backward<T, P>> passes;
  for (int64_t i = 0; i < shares; ++i) {
    passes.emplace_back(a, given, i, shares, shares == 1 ? products : own.emplace_back(products.beside()), window);
  }
  if (shares == 1) {
    with_product_team<P>([&] {
      passes[0].run();
      passes[0].finish();
    });
  } else {
    // The last share first: the caches may still hold some of its data.
    for_tasks(shares, [&](int64_t i) { passes[shares - 1 - i].run(); });
    for (int64_t i = 1; i < shares; ++i) passes[0].add(passes[i]);
    std::vector<Backward<T, P>*> all;
    for (auto& pass : passes) all.push_back(&pass);
    Backward<T, P>::weight_gradients(all);
    passes[0].finish();
  }
  return std::move(window.g);
}

}  // namespace

HMLSTMGradients hm_lstm_backward(const HMLSTMArguments& a, const HMLSTMBackward& given) {
  const auto contiguous = [](at::Tensor& x) {
    if (x.defined()) x = x.contiguous();
  };
  auto b = given;
  for (auto& x : b.grad_h) contiguous(x);
  contiguous(b.grad_z);
  if (a.window.h0[0].scalar_type() == at::kDouble) return backward<double, double>(a, b);
  if (a.bfloat16()) return backward<float, c10::BFloat16>(a, b);
  return backward<float, float>(a, b);
}

}  // namespace hmrnn::cpu
