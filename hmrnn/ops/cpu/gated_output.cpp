#include "hmrnn/ops/cpu/gated_output.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "hmrnn/ops/cpu/cell_kernel.h"
#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/row_tables.h"

namespace hmrnn::cpu {

namespace {

/// The distinct states of one layer in a window. Each is read from h at the first step that has it.
template <class T>
struct States {
  States(const at::Tensor& h, const at::Tensor& birth)
      : count(birth.size(0)), d(h.size(2)), h_(h.const_data_ptr<T>()), birth_(birth.const_data_ptr<int32_t>()) {}

  const T* operator[](int64_t i) const { return h_ + birth_[i] * d; }

  /// Sets `out` to the addresses of states [begin, end) as products of P read them; if P is not T, rounds the states
  /// into `rounded`, one after another.
  template <class P>
  void operands(int64_t begin, int64_t end, [[maybe_unused]] P* rounded, const P** out) const {
    for (int64_t i = begin; i < end; ++i, ++out) {
      if constexpr (std::is_same_v<T, P>) {
        *out = (*this)[i];
      } else {
        cell_kernels<T, P>().narrow(d, (*this)[i], rounded);
        *out = rounded;
        rounded += d;
      }
    }
  }

  int64_t count, d;

 private:
  const T* h_;
  const int32_t* birth_;
};

/// Numbers the distinct states of layer l in the window: fills `row` and `birth` of the tape.
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

/// Calls work() with a team of threads if so many multiplications of P are worth one.
template <class P, class Work>
void with_team_for(int64_t multiplications, Work work) {
  constexpr int64_t worth_a_team = 1 << 19;
  multiplications < worth_a_team ? work() : with_product_team<P>(work);
}

constexpr int64_t kBlock = 64;  ///< rows whose intermediate results stay in a core's second-level cache

/// f(layer, begin, end) for blocks of the rows [0, rows[layer]) of each layer, `least` rows or more (the last may have
/// fewer), which are the parts of one loop.
template <class F>
void for_blocks(const std::vector<int64_t>& rows, int64_t least, F f) {
  constexpr int64_t kMostBlocks = 16384;  // a team's loop has fewer than 65,536 parts
  struct Block {
    int64_t layer, begin, end;
  };
  std::vector<Block> blocks;
  const int64_t L = static_cast<int64_t>(rows.size());
  for (int64_t l = 0; l < L; ++l) {
    const int64_t size = std::max(least, (rows[l] * L + kMostBlocks - 1) / kMostBlocks);
    for (int64_t i = 0; i < rows[l]; i += size) blocks.push_back({l, i, std::min(i + size, rows[l])});
  }
  for_parts(static_cast<int64_t>(blocks.size()),
            [&](int64_t i) { f(blocks[i].layer, blocks[i].begin, blocks[i].end); });
}

/// multiply(layer, begin, end), then rest(layer, begin, end), for each block. Without our own kernels multiply gets all
/// rows of a layer at once, since a BLAS has threads of its own.
template <class P, class Multiply, class Rest>
void for_product_blocks(const std::vector<int64_t>& rows, Multiply multiply, Rest rest) {
  if (choose_backend<P>() == ProductBackend::Rows) {
    return for_blocks(rows, kBlock, [&](int64_t l, int64_t begin, int64_t end) {
      multiply(l, begin, end);
      rest(l, begin, end);
    });
  }
  for (size_t l = 0; l < rows.size(); ++l) {
    if (rows[l] > 0) multiply(static_cast<int64_t>(l), int64_t{0}, rows[l]);
  }
  for_blocks(rows, kBlock, rest);
}

/// The columns of `gates` [L, Σd] that belong to each layer, [L, d].
std::vector<at::Tensor> by_layer(const at::Tensor& gates, const std::vector<at::Tensor>& h) {
  std::vector<at::Tensor> out;
  int64_t offset = 0;
  for (const auto& x : h) {
    out.push_back(gates.narrow(1, offset, x.size(2)).contiguous());
    offset += x.size(2);
  }
  return out;
}

/// T: type of the states and of everything computed; P: type of the products (T, or bfloat16 if T is float).
template <class T, class P>
void forward(const std::vector<at::Tensor>& h, const at::Tensor& state_index, const at::Tensor& gates,
             const std::vector<at::Tensor>& embedding, GatedOutputTape& tape) {
  const int64_t steps = h[0].size(0), batch = h[0].size(1), L = static_cast<int64_t>(h.size());
  const int64_t out = embedding[0].size(0), n = steps * batch;
  const auto& k = cell_kernels<T, P>();
  const auto options = h[0].options();
  const auto products = options.dtype(c10::CppTypeToScalarType<P>::value);
  const auto gates_of = by_layer(gates, h);
  std::vector<States<T>> states;
  std::vector<int64_t> counts;
  std::vector<at::Tensor> pre;  // per layer [N_l, L]: what each state adds to w·h
  std::vector<Product<P>> matrices;
  for (int64_t l = 0; l < L; ++l) {
    at::Tensor row, birth;
    number_states(state_index, l, steps, batch, row, birth);
    tape.row.push_back(row);
    tape.birth.push_back(birth);
    states.emplace_back(h[l], birth);
    counts.push_back(birth.size(0));
    pre.push_back(at::empty({counts[l], L}, options));
    tape.projected.push_back(at::empty({counts[l], out}, products));
    matrices.emplace_back(embedding[l].const_data_ptr<T>(), out, states[l].d);
    matrices.back().pack_forward();
  }
  for_product_blocks<P>(
      counts,
      [&](int64_t l, int64_t begin, int64_t end) {
        std::vector<P> rounded(std::is_same_v<T, P> ? 0 : (end - begin) * states[l].d);
        std::vector<const P*> x(end - begin);
        states[l].operands(begin, end, rounded.data(), x.data());
        matrices[l].beside().forward(end - begin, x.data(), row_of<P>(tape.projected[l], begin, out), out);
      },
      [&](int64_t l, int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          k.matrix_vector(L, states[l].d, gates_of[l].const_data_ptr<T>(), states[l][i], row_of<T>(pre[l], i, L));
        }
      });
  tape.gate = at::empty({n, L}, options);
  tape.output = at::empty({steps, batch, out}, options);
  for_blocks({n}, kBlock, [&](int64_t, int64_t begin, int64_t end) {
    std::vector<const P*> x(L);
    for (int64_t i = begin; i < end; ++i) {
      T* gate = row_of<T>(tape.gate, i, L);
      std::fill_n(gate, L, T(0));
      for (int64_t l = 0; l < L; ++l) {
        const auto state = *row_of<int32_t>(tape.row[l], i, 1);
        x[l] = row_of<P>(tape.projected[l], state, out);
        for (int64_t j = 0; j < L; ++j) gate[j] += row_of<T>(pre[l], state, L)[j];
      }
      for (int64_t j = 0; j < L; ++j) gate[j] = T(1) / (T(1) + std::exp(-gate[j]));
      k.gated_sum(out, L, gate, x.data(), row_of<T>(tape.output, i, out));
    }
  });
}

template <class T, class P>
class GatedOutputBackward {
 public:
  GatedOutputBackward(const std::vector<at::Tensor>& h, const at::Tensor& gates,
                      const std::vector<at::Tensor>& embedding, const GatedOutputTape& tape, const at::Tensor& grad)
      : tape_(tape),
        grad_(grad),
        steps_(h[0].size(0)),
        batch_(h[0].size(1)),
        out_(embedding[0].size(0)),
        L_(static_cast<int64_t>(h.size())),
        gates_(by_layer(gates, h)) {
    const auto options = h[0].options(), products = options.dtype(c10::CppTypeToScalarType<P>::value);
    d_pre_ = at::empty({steps_ * batch_, L_}, options);
    e_ = at::empty({steps_ * batch_, row_stride<P>(out_)}, products);
    g.gates = at::zeros_like(gates);
    for (int64_t l = 0; l < L_; ++l) {
      states_.emplace_back(h[l], tape.birth[l]);
      d_projected_.push_back(at::empty({states_[l].count, row_stride<T>(out_)}, options));
      d_pre_of_state_.push_back(at::zeros({states_[l].count, L_}, options));
      g.h.push_back(at::empty_like(h[l]));
      g.embedding.push_back(at::empty_like(embedding[l]));
      matrices_.emplace_back(embedding[l].const_data_ptr<T>(), out_, states_[l].d);
    }
  }

  void run() {
    for (auto& matrix : matrices_) matrix.pack_backward();
    for_blocks({batch_}, 1, [&](int64_t, int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) output_gradients(b);
    });
    for_product_blocks<P>(
        {steps_ * batch_}, [&](int64_t, int64_t begin, int64_t end) { multiply_back(begin, end); },
        [&](int64_t, int64_t begin, int64_t end) { state_gradients(begin, end); });
    for (int64_t l = 0; l < L_; ++l) embedding_gradient(l);
    gate_gradients();
  }

  GatedOutputGradients g;

 private:
  /// For one row of the batch, whose steps share states: e = dL/d(Σ_l g_l W^e h), and from it the gradients of the
  /// gates' pre-activations, of each step and summed over the steps of a state, and of W^e h, only summed.
  void output_gradients(int64_t b) {
    const auto& k = cell_kernels<T, P>();
    std::vector<const P*> x(L_);
    std::vector<T*> to(L_);
    for (int64_t i = b; i < steps_ * batch_; i += batch_) {
      for (int64_t l = 0; l < L_; ++l) {
        const auto state = *row_of<int32_t>(tape_.row[l], i, 1);
        x[l] = row_of<P>(tape_.projected[l], state, out_);
        to[l] = raw_row<T>(d_projected_[l], state, out_);
        if (*row_of<int32_t>(tape_.birth[l], state, 1) == i) std::fill_n(to[l], out_, T(0));
      }
      const T* gate = row_of<T>(tape_.gate, i, L_);
      T* d_pre = row_of<T>(d_pre_, i, L_);
      k.gated_sum_backward(out_, L_, gate, x.data(), row_of<T>(tape_.output, i, out_), row_of<T>(grad_, i, out_),
                           raw_row<P>(e_, i, out_), to.data(), d_pre);
      for (int64_t j = 0; j < L_; ++j) d_pre[j] *= gate[j] * (1 - gate[j]);
      for (int64_t l = 0; l < L_; ++l) {
        k.axpy(L_, T(1), d_pre, row_of<T>(d_pre_of_state_[l], *row_of<int32_t>(tape_.row[l], i, 1), L_));
      }
    }
  }

  /// e · W^e of the steps [begin, end), for each layer.
  void multiply_back(int64_t begin, int64_t end) {
    for (int64_t l = 0; l < L_; ++l) {
      matrices_[l].beside().backward(end - begin, raw_row<P>(e_, begin, out_), row_stride<P>(out_),
                                     row_of<T>(g.h[l], begin, states_[l].d));
    }
  }

  /// From that, dh = g_l · (e W) + (dL/d pre) w: the gate is a factor of the whole row and is applied after the
  /// product, so that the products of all layers read the same e.
  void state_gradients(int64_t begin, int64_t end) {
    for (int64_t l = 0; l < L_; ++l) {
      const int64_t d = states_[l].d;
      const T* w = gates_[l].template const_data_ptr<T>();
      for (int64_t i = begin; i < end; ++i) {
        cell_kernels<T, P>().scale_and_add(d, row_of<T>(tape_.gate, i, L_)[l], L_, row_of<T>(d_pre_, i, L_), w,
                                           row_of<T>(g.h[l], i, d));
      }
    }
  }

  void embedding_gradient(int64_t l) {
    const auto& states = states_[l];
    auto dy = d_projected_[l];
    at::Tensor rounded;
    if constexpr (!std::is_same_v<T, P>) {
      rounded = at::empty({states.count, states.d}, e_.options());
      dy = at::empty(dy.sizes(), e_.options());
    }
    std::vector<const P*> x(states.count);
    for_blocks({states.count}, kBlock, [&](int64_t, int64_t begin, int64_t end) {
      P* to = nullptr;
      if constexpr (!std::is_same_v<T, P>) {
        to = row_of<P>(rounded, begin, states.d);
        for (int64_t i = begin; i < end; ++i) {
          cell_kernels<T, P>().narrow(out_, raw_row<T>(d_projected_[l], i, out_),
                                      row_of<P>(dy, i, row_stride<T>(out_)));
        }
      }
      states.operands(begin, end, to, x.data() + begin);
    });
    at::Tensor memory;
    matrices_[l].reserve_gradient(states.count, memory);
    matrices_[l].weight_gradient(states.count, dy.template const_data_ptr<P>(), row_stride<T>(out_), x.data(),
                                 g.embedding[l].template data_ptr<T>(), /*add=*/false, memory);
  }

  /// Threads share the columns, so that every value is summed in the same order.
  void gate_gradients() {
    constexpr int64_t kColumns = 256;
    struct Part {
      int64_t l, column, columns;
      T* to;
    };
    std::vector<Part> parts;
    T* to = g.gates.template data_ptr<T>();
    for (int64_t l = 0; l < L_; ++l) {
      for (int64_t column = 0; column < states_[l].d; column += kColumns) {
        const int64_t columns = std::min(kColumns, states_[l].d - column);
        parts.push_back({l, column, columns, to});
        to += columns;
      }
    }
    const int64_t stride = g.gates.size(1);
    for_parts(static_cast<int64_t>(parts.size()), [&](int64_t p) {
      const auto& part = parts[p];
      const auto& states = states_[part.l];
      for (int64_t i = 0; i < states.count; ++i) {
        const T* d_pre = row_of<T>(d_pre_of_state_[part.l], i, L_);
        for (int64_t j = 0; j < L_; ++j) {
          cell_kernels<T, P>().axpy(part.columns, d_pre[j], states[i] + part.column, part.to + j * stride);
        }
      }
    });
  }

  const GatedOutputTape& tape_;
  const at::Tensor grad_;
  const int64_t steps_, batch_, out_, L_;
  const std::vector<at::Tensor> gates_;  ///< per layer [L, d_l]
  std::vector<States<T>> states_;
  std::vector<Product<P>> matrices_;
  at::Tensor d_pre_;                        ///< [T·B, L] dL/d(w·h)
  at::Tensor e_;                            ///< [T·B, out] of P (raw_row): the gradient of the ReLU's input
  std::vector<at::Tensor> d_projected_;     ///< per layer [N_l, out] (raw_row): summed over the steps of a state
  std::vector<at::Tensor> d_pre_of_state_;  ///< per layer [N_l, L]: the same
};

/// f(T(), P()) for the types of the states and of the products.
template <class F>
void with_types(const at::Tensor& h, bool bfloat16, F f) {
  if (h.scalar_type() == at::kDouble) return f(double(), double());
  bfloat16 ? f(float(), c10::BFloat16()) : f(float(), float());
}

int64_t multiplications(const std::vector<at::Tensor>& h, const std::vector<at::Tensor>& embedding) {
  int64_t sum = 0;
  for (const auto& x : h) sum += x.numel() * embedding[0].size(0);
  return sum;
}

}  // namespace

GatedOutputTape gated_output_forward(const std::vector<at::Tensor>& h, const at::Tensor& state_index,
                                     const at::Tensor& gates, const std::vector<at::Tensor>& embedding, bool bfloat16) {
  GatedOutputTape tape;
  with_types(h[0], bfloat16, [&](auto t, auto p) {
    with_team_for<decltype(p)>(multiplications(h, embedding),
                               [&] { forward<decltype(t), decltype(p)>(h, state_index, gates, embedding, tape); });
  });
  return tape;
}

GatedOutputGradients gated_output_backward(const std::vector<at::Tensor>& h, const at::Tensor& gates,
                                           const std::vector<at::Tensor>& embedding, const GatedOutputTape& tape,
                                           const at::Tensor& grad, bool bfloat16) {
  GatedOutputGradients out;
  with_types(h[0], bfloat16, [&](auto t, auto p) {
    with_team_for<decltype(p)>(multiplications(h, embedding), [&] {
      GatedOutputBackward<decltype(t), decltype(p)> backward(h, gates, embedding, tape, grad);
      backward.run();
      out = std::move(backward.g);
    });
  });
  return out;
}

}  // namespace hmrnn::cpu
