#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "hmrnn/ops/cpu/product.h"
#include "hmrnn/ops/cpu/row_tables.h"

namespace hmrnn::cpu {

/// The gradient of one weight matrix, from rows that are added a few at a time. One product is computed for as many
/// rows as fit into a cache, and memory is allocated for that many; or all rows are kept, for add_to().
template <class P>
class WeightGradient {
 public:
  /// Keeps all `total` rows.
  WeightGradient(Product<P>& matrix, int64_t total) : matrix_(matrix) {
    rows_ = empty_table({total, stride()}, c10::CppTypeToScalarType<P>::value);
    x_.reserve(total);
  }
  /// `gradient` [R, in] of Wide<P>: its first matrix.out() rows are set by finish(). `total`: number of rows that will
  /// be added; `most`: the most of them at a time. `memory`: Product::reserve_gradient. All must outlive this object.
  /// At least `bytes` of rows are kept, if there are so many; nothing is allocated later.
  WeightGradient(Product<P>& matrix, const at::Tensor& gradient, int64_t total, int64_t most, at::Tensor& memory,
                 int64_t bytes = kBytes)
      : matrix_(matrix), gradient_(gradient.data_ptr<Wide<P>>()), memory_(&memory) {
    const int64_t kept = std::min(total, std::max(most, bytes / row_bytes(matrix)));
    rows_ = empty_table({kept, stride()}, c10::CppTypeToScalarType<P>::value);
    x_.reserve(kept);
    matrix.reserve_gradient(kept, memory);
  }

  /// Row stride of next(), in values.
  int64_t stride() const { return row_stride<P>(matrix_.out()); }
  /// Memory for the gradients [m, out] of the next m products, to be filled before the next call. Their operands are
  /// added by push().
  P* next(int64_t m) {
    const auto used = static_cast<int64_t>(x_.size());
    if (used + m > rows_.size(0)) multiply();
    return rows_.template data_ptr<P>() + static_cast<int64_t>(x_.size()) * stride();
  }
  /// The operand x [in] of the next product; it is not copied, so it must stay valid.
  void push(const P* x) { x_.push_back(x); }

  void finish() {
    if (!x_.empty() || !begun_) multiply();
    rows_ = at::Tensor();
  }

  /// Where all rows are kept: sets rows [first, first + rows) of `gradient` [.., in], or with `add` adds to them.
  void add_to(Wide<P>* gradient, int64_t first, int64_t rows, bool add) const {
    const auto m = static_cast<int64_t>(x_.size());
    at::Tensor memory;
    matrix_.reserve_gradient(m, memory);
    matrix_.weight_gradient_rows(m, rows_.template const_data_ptr<P>(), stride(), x_.data(), gradient, add, memory,
                                 first, rows);
  }

 private:
  // With 8 MiB a window of 3×512 takes as long at the paper's rates and 2% longer where every state changes.
  static constexpr int64_t kBytes = 16 * 1024 * 1024;
  static int64_t row_bytes(const Product<P>& matrix) {
    return std::max<int64_t>(1, matrix.out()) * static_cast<int64_t>(sizeof(P));
  }

  void multiply() {
    matrix_.weight_gradient(static_cast<int64_t>(x_.size()), rows_.template const_data_ptr<P>(), stride(), x_.data(),
                            gradient_, /*add=*/begun_, *memory_);
    begun_ = true;
    x_.clear();
  }

  Product<P>& matrix_;
  Wide<P>* gradient_ = nullptr;
  at::Tensor* memory_ = nullptr;
  at::Tensor rows_;
  std::vector<const P*> x_;
  bool begun_ = false;
};

}  // namespace hmrnn::cpu
