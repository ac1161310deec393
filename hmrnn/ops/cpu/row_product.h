#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "hmrnn/ops/cpu/thread_team.h"

namespace hmrnn::cpu {

/// The type that everything besides products of type P is computed in: float for bfloat16, P itself for float and
/// double.
template <class P>
using Wide = std::conditional_t<std::is_same_v<P, c10::BFloat16>, float, P>;

/// Products of a few rows at any addresses with a matrix B [k, n] of P packed in panels of `width` columns, for a time
/// loop in which each batch row has its own current time step. No row is copied before or after a product, and while a
/// panel is multiplied the next one is prefetched: with few rows a product takes as long as reading the weights (480
/// GFLOP/s in float32 and 970 in bfloat16, for [32, 512] × [512, 2048] on two Zen 5 cores, the weights in the
/// third-level cache). Products of bfloat16 are computed by float32 instructions on Intel's CPUs without AMX, where
/// that is 1.3 to 1.5 times as fast. With AMX, ATen's brgemm multiplies bfloat16 (tile_product.h): it does not
/// prefetch, and each share of a product copies the rows that it cannot read in place. Compiled for one instruction
/// set. P is float or bfloat16; sums are computed in float.
template <class P>
struct RowProductKernels {
  static constexpr int64_t kMostRows = 64;  ///< rows of one call

  static constexpr int64_t kPairs = std::is_same_v<P, float> ? 1 : 2;  ///< adjacent values of k in a panel

  int64_t width = 0;            ///< columns of a panel; 0: this instruction set has no such products
  int64_t depth_unit = kPairs;  ///< of which a panel's k is a multiple, filled with zeros
  int64_t padded_depth(int64_t k) const { return (k + depth_unit - 1) / depth_unit * depth_unit; }
  /// How many values a panel has, for k values of each column.
  int64_t panel_size(int64_t k) const { return padded_depth(k) * width; }
  /// Fills a panel [k, width] (bfloat16: pairs of k, [⌈k/2⌉, width, 2]) with `columns` columns, zeros beyond:
  /// B(i, j) = weight[j·stride + i] if `transposed`, else weight[i·stride + j].
  void (*pack)(const float* weight, int64_t stride, bool transposed, int64_t k, int64_t columns, P* panel) = nullptr;
  /// Whether forward and backward, instead of rows at any addresses, take rows that are equally far apart, with zeros
  /// behind each up to padded_depth(k). end() ends a product then, after its last panel.
  bool ordered = false;
  void (*end)() = nullptr;
  /// Distance of rows that are copied for that, and for weight_gradient: padded by a cache line (see row_stride in
  /// product.h).
  static constexpr int64_t copied_stride(int64_t k) {
    constexpr int64_t line = 64 / static_cast<int64_t>(sizeof(P));
    return (k + line - 1) / line * line + line;
  }
  /// y_i[0, columns) = x_i · panel for m rows x_i of k values, m ≤ kMostRows. `next`: the panel of the next call, of
  /// the same size, to prefetch, or null.
  void (*forward)(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns,
                  P* const* y) = nullptr;
  /// The same with y_i of float, added to what is there if `add`.
  void (*backward)(int64_t m, int64_t k, const P* const* x, const P* panel, const P* next, int64_t columns,
                   float* const* y, bool add) = nullptr;
  /// For weight gradients, k rows at a time, k ≤ kGradientDepth. Fills a panel with `columns` columns, from `column`
  /// on, of k rows x_i.
  static constexpr int64_t kGradientDepth = 128 * 1024 / (kMostRows * static_cast<int64_t>(sizeof(P)));
  void (*pack_rows)(int64_t k, const P* const* x, int64_t column, int64_t columns, P* panel) = nullptr;
  /// to [m, n] = yᵀ · x for m ≤ kMostRows columns of k rows of y, `stride` values apart, and k rows x_i of n values,
  /// packed in panels one after another; added to what is there if `add`. `next`: the columns of y of the next call, to
  /// prefetch, or null.
  void (*weight_gradient)(int64_t k, int64_t m, const P* y, int64_t stride, const P* next, const P* panels, int64_t n,
                          float* to, bool add) = nullptr;
};

struct AllRowProductKernels {
  RowProductKernels<float> float32;
  RowProductKernels<c10::BFloat16> bfloat16;
};

/// The kernels for this machine's CPU; width 0 where there are none.
template <class P>
const RowProductKernels<P>& row_product_kernels();

/// A share of a product's columns: parts [begin, end) of `count` equal ones. Every value is summed in the same order
/// for any shares.
struct Share {
  int64_t begin = 0, end = 1, count = 1;
  /// The first of n items that belongs to part i.
  int64_t first(int64_t n, int64_t i) const { return n * i / count; }
};

/// f(share) for shares that are the whole product together. Of a large product each of several threads has a large
/// share, with which it begins, and a small one, which others can take if it is late; of a smaller one at most an equal
/// share each, as many as the number of multiplications justifies. More shares would cost more: each reads all rows
/// again, and begins with a panel that has not been prefetched (with four equal ones for each of two threads a window
/// of 3×512 took 425 ms instead of 407, timed alone, where few rows are active).
template <class F>
void for_shares(int64_t multiplications, F f) {
  constexpr int64_t kWorthAPart = 1 << 18;
  constexpr int64_t kPartsPerThread = 4, kLargeShare = 3;
  const int64_t threads = usable_threads(), count = kPartsPerThread * threads;
  if (threads == 1 || multiplications < kWorthAPart * count) {
    const int64_t shares = std::clamp<int64_t>(multiplications / kWorthAPart, 1, threads);
    return for_parts(shares, [&](int64_t i) { f(Share{i, i + 1, shares}); });
  }
  for_parts(2 * threads, [&](int64_t i) {
    const int64_t first = i / 2 * kPartsPerThread, middle = first + kLargeShare;
    f(i % 2 == 0 ? Share{first, middle, count} : Share{middle, first + kPartsPerThread, count});
  });
}

/// A matrix B [k, n], packed, and its products with rows.
template <class P>
class PackedMatrix {
 public:
  /// Allocates the panels, which pack() must fill.
  PackedMatrix(int64_t k, int64_t n);
  /// Uses the panels() of another matrix with the same k and n.
  PackedMatrix(at::Tensor panels, int64_t k, int64_t n);
  /// B(i, j) = weight[j·stride + i] if `transposed`, else weight[i·stride + j].
  void pack(const float* weight, int64_t stride, bool transposed);
  bool packed() const { return packed_; }
  const at::Tensor& panels() const { return panels_; }

  /// How many multiplications a product with m rows is.
  int64_t multiplications(int64_t m) const { return m * k_ * n_; }
  /// y [m, n] = x · B for rows x_i [k]: the share's columns; rows of y are `stride` values apart
  void forward(int64_t m, const P* const* x, P* y, int64_t stride, Share share) const;
  /// Rows y_i [n] = x [m, k] · B, of float, likewise; rows of x are `stride` values apart; added to what is there if
  /// `add`.
  void backward(int64_t m, const P* x, int64_t stride, float* const* y, bool add, Share share) const;

 private:
  void put_in_order(int64_t m, const P** x) const;
  template <class X, class F>
  void by_panels(int64_t m, Share share, X x, F f) const;

  const RowProductKernels<P>& kernels_;
  int64_t k_, n_;
  int64_t panel_;  ///< values of a panel
  at::Tensor panels_;
  bool packed_ = true;
};

/// gradient [out, n] = y_gradᵀ · x for y_grad [m, out], rows `stride` values apart, and rows x_i [n], added to what is
/// there if `add`, by all threads: each takes its share of the gradient's rows, so that every value is summed in the
/// same order whatever the number of threads.
template <class P>
void row_weight_gradient(int64_t m, int64_t out, const P* y_grad, int64_t stride, int64_t n, const P* const* x,
                         float* gradient, bool add, P* scratch);

/// How many values of P row_weight_gradient needs as `scratch`, for at most m rows x_i [n].
template <class P>
int64_t row_weight_gradient_scratch(int64_t m, int64_t n);

}  // namespace hmrnn::cpu
