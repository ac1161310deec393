#pragma once

#include <array>
#include <cstdint>

namespace hmrnn::cpu {

/// Prefetches the rows that the next row function will read or write, a few cache lines at a time while the current one
/// computes. A row of products has 64 to 128 lines; a processor that prefetches so many at once stalls the computation.
class RowPrefetch {
 public:
  /// `values` values from `row` on, after those added before; rows after the twelfth are ignored. (Nothing is read:
  /// lines past a row's end may be prefetched.)
  template <class P>
  void add(const P* row, int64_t values) {
    const int64_t steps = (values * static_cast<int64_t>(sizeof(P)) + kStep - 1) / kStep;
    if (steps > 0 && count_ < pieces_.size()) pieces_[count_++] = {reinterpret_cast<const char*>(row), steps};
  }
  /// Prefetches two more lines, if there are any.
  void fetch() {
    if (at_.steps == 0) {
      if (next_ == count_) return;
      at_ = pieces_[next_++];
    }
    __builtin_prefetch(at_.line, 0, 2);
    __builtin_prefetch(at_.line + kStep / 2, 0, 2);
    at_.line += kStep;
    --at_.steps;
  }

 private:
  static constexpr int64_t kStep = 128;  // bytes
  static constexpr size_t kMost = 12;
  struct Piece {
    const char* line;
    int64_t steps;
  };
  Piece at_{nullptr, 0};
  std::array<Piece, kMost> pieces_;
  size_t next_ = 0, count_ = 0;
};

}  // namespace hmrnn::cpu
