#pragma once

#include <array>
#include <cstdint>

namespace hmrnn::cpu {

/// Rows that the next piece of work will read or write, asked for line by line while the one at hand is computed. A row
/// of products has 64 to 128 lines, and of so many at once the processor makes the computation wait.
class RowsAhead {
 public:
  /// `values` values from `row` on, after those added before.
  template <class P>
  void add(const P* row, int64_t values) {
    if (values > 0 && end_ < static_cast<int>(pieces_.size())) {
      pieces_[end_++] = {reinterpret_cast<const char*>(row),
                         (values * static_cast<int64_t>(sizeof(P)) + kLine - 1) / kLine};
    }
  }
  /// Asks for one line more, if there is one.
  void fetch() {
    if (at_ == end_) return;
    auto& piece = pieces_[at_];
    __builtin_prefetch(piece.line, 0, 2);
    piece.line += kLine;
    if (--piece.lines == 0) ++at_;
  }

 private:
  static constexpr int64_t kLine = 64;
  struct Piece {
    const char* line;
    int64_t lines;
  };
  std::array<Piece, 12> pieces_;
  int at_ = 0, end_ = 0;
};

}  // namespace hmrnn::cpu
