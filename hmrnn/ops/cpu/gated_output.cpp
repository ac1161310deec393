#include "hmrnn/ops/cpu/gated_output.h"

#include <ATen/ATen.h>

#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/row_tables.h"

namespace hmrnn::cpu {

namespace {

/// Numbers the states that the window shows, layer by layer: `row` and `birth` of the tape.
void number_states(const at::Tensor& state_index, int64_t l, int64_t T, int64_t B, at::Tensor& row, at::Tensor& birth) {
  row = at::empty({T * B}, at::kInt);
  auto* to = row.data_ptr<int32_t>();
  std::vector<int32_t> born;
  born.reserve(T * B);
  const int32_t* index = state_index.defined() ? state_index.const_data_ptr<int32_t>() + l * T * B : nullptr;
  for (int64_t i = 0; i < T * B; ++i) {
    if (index != nullptr && i >= B && index[i] == index[i - B]) {
      to[i] = to[i - B];
    } else {
      to[i] = static_cast<int32_t>(born.size());
      born.push_back(static_cast<int32_t>(i));
    }
  }
  birth = at::empty({static_cast<int64_t>(born.size())}, at::kInt);
  std::copy(born.begin(), born.end(), birth.data_ptr<int32_t>());
}

/// h at the steps of birth, [N, d]; h itself where every step is one.
template <class T>
at::Tensor gather_births(const at::Tensor& h, const at::Tensor& birth) {
  const int64_t n = birth.size(0), d = h.size(2);
  if (n == h.size(0) * h.size(1)) return h.view({n, d});
  auto out = at::empty({n, d}, h.options());
  const auto* at = birth.const_data_ptr<int32_t>();
  for_rows(n, n * d, [&](int64_t i, int64_t) { copy_row(row_of<T>(out, i, d), row_of<T>(h, at[i], d), d); });
  return out;
}

/// T: of the states and of everything computed; P: of the products (T, or bfloat16 beside float).
template <class T, class P>
GatedOutputTape forward(const std::vector<at::Tensor>& h, const at::Tensor& state_index, const at::Tensor& gates,
                        const std::vector<at::Tensor>& embedding) {
  const int64_t steps = h[0].size(0), batch = h[0].size(1), L = static_cast<int64_t>(h.size());
  const int64_t out = embedding[0].size(0), n = steps * batch;
  const auto& k = cell_kernels<T, P>();
  constexpr auto products = c10::CppTypeToScalarType<P>::value;
  GatedOutputTape tape;
  int64_t offset = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int64_t d = h[l].size(2);
    const auto pre = at::mm(h[l].view({n, d}), gates.narrow(1, offset, d).t());
    tape.gate = l == 0 ? pre : tape.gate.add_(pre);
    offset += d;
    at::Tensor row, birth;
    number_states(state_index, l, steps, batch, row, birth);
    const auto x = gather_births<T>(h[l], birth).to(products);
    auto projected = at::empty({x.size(0), out}, x.options());
    Product<P>(embedding[l].const_data_ptr<T>(), out, d)
        .forward(x.size(0), x.template const_data_ptr<P>(), projected.template data_ptr<P>());
    tape.projected.push_back(projected);
    tape.row.push_back(row);
    tape.birth.push_back(birth);
  }
  tape.gate.sigmoid_();
  tape.output = at::empty({steps, batch, out}, h[0].options());
  std::vector<const P*> rows(L * usable_threads());
  for_rows(n, n * out, [&](int64_t i, int64_t thread) {
    const P** x = rows.data() + thread * L;
    for (int64_t l = 0; l < L; ++l) x[l] = row_of<P>(tape.projected[l], row_of<int32_t>(tape.row[l], i, 1)[0], out);
    k.gated_sum(out, L, row_of<T>(tape.gate, i, L), x, row_of<T>(tape.output, i, out));
  });
  return tape;
}

template <class T, class P>
GatedOutputGradients backward(const std::vector<at::Tensor>& h, const at::Tensor& gates,
                              const std::vector<at::Tensor>& embedding, const GatedOutputTape& tape,
                              const at::Tensor& grad) {
  const int64_t steps = h[0].size(0), batch = h[0].size(1), L = static_cast<int64_t>(h.size());
  const int64_t out = embedding[0].size(0), n = steps * batch;
  const auto& k = cell_kernels<T, P>();
  constexpr auto products = c10::CppTypeToScalarType<P>::value;
  const auto options = h[0].options();
  auto d_gate = at::empty({n, L}, options);
  std::vector<at::Tensor> d_projected;  // summed over the steps that show a state: what the weight gradient needs
  for (int64_t l = 0; l < L; ++l) d_projected.push_back(at::zeros(tape.projected[l].sizes(), options));
  // Steps of one row of the batch share states, so a thread takes whole rows of the batch.
  for_rows(batch, n * out, [&](int64_t b, int64_t) {
    std::vector<const P*> x(L);
    std::vector<T*> to(L);
    for (int64_t i = b; i < n; i += batch) {
      for (int64_t l = 0; l < L; ++l) {
        const auto r = row_of<int32_t>(tape.row[l], i, 1)[0];
        x[l] = row_of<P>(tape.projected[l], r, out);
        to[l] = row_of<T>(d_projected[l], r, out);
      }
      k.gated_sum_backward(out, L, row_of<T>(tape.gate, i, L), x.data(), row_of<T>(tape.output, i, out),
                           row_of<T>(grad, i, out), to.data(), row_of<T>(d_gate, i, L));
    }
  });
  const auto d_pre = d_gate * tape.gate * (1 - tape.gate);                // [T·B, L]
  const auto e = (grad * tape.output.gt(0)).view({n, out}).to(products);  // [T·B, out]
  GatedOutputGradients g;
  g.gates = at::empty_like(gates);
  int64_t offset = 0;
  for (int64_t l = 0; l < L; ++l) {
    const int64_t d = h[l].size(2);
    g.gates.narrow(1, offset, d).copy_(at::mm(d_pre.t(), h[l].view({n, d})));
    Product<P> matrix(embedding[l].const_data_ptr<T>(), out, d);
    const auto x = gather_births<T>(h[l], tape.birth[l]).to(products), dy = d_projected[l].to(products);
    g.embedding.push_back(at::empty_like(embedding[l]));
    matrix.weight_gradient(x.size(0), dy.template const_data_ptr<P>(), x.template const_data_ptr<P>(),
                           g.embedding[l].template data_ptr<T>());
    // dh = g_l · (e W) + (dL/d pre) w: the gate is a factor of the row, so the product needs e once for all layers.
    auto dh = at::empty({n, d}, options);
    matrix.backward(n, e.template const_data_ptr<P>(), dh.template data_ptr<T>());
    dh.mul_(tape.gate.narrow(1, l, 1));
    dh.addmm_(d_pre, gates.narrow(1, offset, d));
    g.h.push_back(dh.view(h[l].sizes()));
    offset += d;
  }
  return g;
}

}  // namespace

GatedOutputTape gated_output_forward(const std::vector<at::Tensor>& h, const at::Tensor& state_index,
                                     const at::Tensor& gates, const std::vector<at::Tensor>& embedding, bool bfloat16) {
  if (h[0].scalar_type() == at::kDouble) return forward<double, double>(h, state_index, gates, embedding);
  if (bfloat16) return forward<float, c10::BFloat16>(h, state_index, gates, embedding);
  return forward<float, float>(h, state_index, gates, embedding);
}

GatedOutputGradients gated_output_backward(const std::vector<at::Tensor>& h, const at::Tensor& gates,
                                           const std::vector<at::Tensor>& embedding, const GatedOutputTape& tape,
                                           const at::Tensor& grad, bool bfloat16) {
  if (h[0].scalar_type() == at::kDouble) return backward<double, double>(h, gates, embedding, tape, grad);
  if (bfloat16) return backward<float, c10::BFloat16>(h, gates, embedding, tape, grad);
  return backward<float, float>(h, gates, embedding, tape, grad);
}

}  // namespace hmrnn::cpu
