// Compiled once for each instruction set (cmake/CpuKernels.cmake), each under a factory name of its own.

#include "hmrnn/ops/cpu/cell_kernel.h"

#include <algorithm>

#include "hmrnn/ops/cpu/kernel_factory.h"
#include "hmrnn/ops/cpu/vector_row.h"

namespace hmrnn::cpu {

// Inlines everything that a row function calls: g++ compiles a large loop body as a function of its own, which reloads
// its operands from memory for each vector. (Not with AddressSanitizer or ThreadSanitizer, and not on x86 CPUs without
// AVX2, where a vector is an array that is processed value by value: compiling a file would take minutes. Without AVX2
// every exp and tanh of a vector is many calls, too slow for training in any case.)
#if defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    (defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512) || !defined(__x86_64__))
#define HMRNN_FLATTEN __attribute__((flatten))
#else
#define HMRNN_FLATTEN
#endif

namespace {

template <class T>
void axpy(int64_t n, T a, const T* x, T* y) {
  using V = typename cell::VectorRow<T>::V;
  cell::VectorRow<T>().each(n, [&](auto at) { at.add(y, V(a) * at.load(x)); });
}

template <class T, class P>
void mask(int64_t n, const T* mask, const T* x, P* y) {
  cell::VectorRow<T>().each(n, [&](auto at) { at.store(y, at.load(mask) * at.load(x)); });
}

template <class T>
void add_masked(int64_t n, const T* mask, const T* x, T* y) {
  cell::VectorRow<T>().each(n, [&](auto at) { at.add(y, at.load(mask) * at.load(x)); });
}

template <class T, class From, class To>
void convert(int64_t n, const From* x, To* y) {
  cell::VectorRow<T>().each(n, [&](auto at) { at.store(y, at.load(x)); });
}

template <class T, class P>
void add(int64_t n, const P* x, T* y) {
  cell::VectorRow<T>().each(n, [&](auto at) { at.add(y, at.load(x)); });
}

/// Four rows at a time, so that x is read once for them and their sums do not wait for each other.
template <class T>
void matrix_vector(int64_t rows, int64_t n, const T* m, const T* x, T* y) {
  const cell::VectorRow<T> row;
  using V = typename cell::VectorRow<T>::V;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4, m += 4 * n) {
    const auto sums = row.template sums<4>(n, [&](auto at) {
      const V xs = at.load(x);
      return std::array<V, 4>{at.load(m) * xs, at.load(m + n) * xs, at.load(m + 2 * n) * xs, at.load(m + 3 * n) * xs};
    });
    std::copy(sums.begin(), sums.end(), y + r);
  }
  for (; r < rows; ++r, m += n) y[r] = cell::dot(row, n, m, x);
}

template <class T, class P>
void gated_sum(int64_t n, int64_t layers, const T* gate, const P* const* x, T* y) {
  using V = typename cell::VectorRow<T>::V;
  cell::VectorRow<T>().each(n, [&](auto at) {
    V s = V(gate[0]) * at.load(x[0]);
    for (int64_t l = 1; l < layers; ++l) s = s + V(gate[l]) * at.load(x[l]);
    at.store(y, at::vec::maximum(s, V(T(0))));
  });
}

template <class T, class P>
void gated_sum_backward(int64_t n, int64_t layers, const T* gate, const P* const* x, const T* y, const T* dy, P* e,
                        T* const* scaled, T* dgate) {
  using Row = cell::VectorRow<T>;
  using V = typename Row::V;
  const Row row;
  for (int64_t l = 0; l < layers; ++l) {
    dgate[l] = row.template sums<1>(n, [&](auto at) {
      const V own = V::blendv(V(T(0)), at.load(dy), at.load(y) > V(T(0)));
      if (l == 0) at.store(e, own);
      at.add(scaled[l], V(gate[l]) * own);
      return std::array<V, 1>{own * at.load(x[l])};
    })[0];
  }
}

template <class T>
void scale_and_add(int64_t n, T a, int64_t rows, const T* b, const T* w, T* y) {
  using V = typename cell::VectorRow<T>::V;
  cell::VectorRow<T>().each(n, [&](auto at) {
    V s = V(a) * at.load(y);
    for (int64_t k = 0; k < rows; ++k) s = s + V(b[k]) * at.load(w + k * n);
    at.store(y, s);
  });
}

template <class T, class P>
CellKernels<T, P> make() {
  using Row = cell::VectorRow<T>;
  CellKernels<T, P> k;
  k.moments = [](int64_t n, const P* x, T eps, RowPrefetch* prefetch)
                  HMRNN_FLATTEN { return cell::moments(Row{prefetch}, n, x, eps); };
  k.dot = [](int64_t n, const T* x, const T* y) HMRNN_FLATTEN { return cell::dot(Row(), n, x, y); };
  k.term_dot = [](int64_t n, const T* ds, const Term<T, P>& term)
                   HMRNN_FLATTEN { return cell::term_dot(Row(), n, ds, term); };
  k.active_forward = [](int64_t d, const Term<T, P>& recurrent, const Term<T, P>& bottom_up, const Term<T, P>& top_down,
                        const T* bias, const T* c, const CellNorm<T>& norm, T* gates, T* c_new, T* h_new,
                        RowPrefetch* prefetch) HMRNN_FLATTEN {
    return cell::active_forward(Row{prefetch}, d, recurrent, bottom_up, top_down, bias, c, norm, {}, gates, c_new,
                                h_new);
  };
  k.active_cell =
      [](int64_t d, const T* gates, const T* c, const CellNorm<T>& norm, const Dropout<T>& dropout, T* c_new, T* h_new)
          HMRNN_FLATTEN { return cell::active_cell(Row(), d, gates, c, norm, dropout, c_new, h_new); };
  k.active_gates = [](int64_t d, const Term<T, P>& recurrent, const Term<T, P>& bottom_up, const Term<T, P>& top_down,
                      const T* bias, T* gates, RowPrefetch* prefetch) HMRNN_FLATTEN {
    cell::active_gates(Row{prefetch}, d, recurrent, bottom_up, top_down, bias, gates);
  };
  k.active_backward = [](int64_t d, bool flush, const T* dh, const T* dc, const T* gates, const T* c, const T* c_new,
                         const T* h, const Moments<T>& cell_moments, const CellNorm<T>& norm, const Dropout<T>& dropout,
                         T* scratch, T* ds, T* dc_prev, T* gain_grad, T* bias_grad,
                         RowPrefetch* prefetch) HMRNN_FLATTEN {
    return cell::active_backward(Row{prefetch}, d, flush, dh, dc, gates, c, c_new, h, cell_moments, norm, dropout,
                                 scratch, ds, dc_prev, gain_grad, bias_grad);
  };
  k.term_backward =
      [](int64_t n, const T* ds, const Term<T, P>& term, P* d_raw, T* gain_grad, T* bias_grad, RowPrefetch* prefetch)
          HMRNN_FLATTEN { return cell::term_backward(Row{prefetch}, n, ds, term, d_raw, gain_grad, bias_grad); };
  k.copy_run = [](int64_t d, const Term<T, P>& recurrent, const T* bias, const T* c, const T* h,
                  const CellNorm<T>& norm, const Dropout<T>& dropout, const T* dc, T* scratch, T* delta) HMRNN_FLATTEN {
    return cell::copy_run(Row(), d, recurrent, bias, c, h, norm, dropout, dc, scratch, delta);
  };
  k.matrix_vector = matrix_vector<T>;
  k.narrow = convert<T, T, P>;
  k.widen = convert<T, P, T>;
  k.add = add<T, P>;
  k.axpy = axpy<T>;
  k.mask = mask<T, P>;
  k.add_masked = add_masked<T>;
  k.gated_sum = gated_sum<T, P>;
  k.gated_sum_backward = gated_sum_backward<T, P>;
  k.scale_and_add = scale_and_add<T>;
  return k;
}

}  // namespace

void HMRNN_FACTORY(cell_kernels)(AllCellKernels& all) {
  all.bfloat16 = make<float, c10::BFloat16>();
#if !defined(__AVX512BF16__)  // the others do not use bfloat16 instructions: the build for AVX-512 has them
  all.float32 = make<float, float>();
  all.float64 = make<double, double>();
#endif
}

}  // namespace hmrnn::cpu
