#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// A segmentation that is given to a character model in place of its detectors' decisions (HMLSTMCall::boundaries), as
/// a baseline for learned boundaries:
///
///     spaces        layer 1 ends a segment at each space and line end, every layer above it at line ends
///     clock:N[,N…]  layer l ends a segment every N_l symbols, counted from the beginning of a stream
///
/// It depends on symbols and positions alone, so training, evaluation and streams agree.
class HMRNN_API GivenBoundaries {
 public:
  /// None: the detectors decide.
  GivenBoundaries() = default;
  /// `spec` as above, for `detectors` = L-1 layers; a clock of one N stands for N, N², …
  /// (clock:4 with two detectors is clock:4,16). `symbols`: the byte of each index. Throws hmrnn::Error
  /// naming what is wrong.
  GivenBoundaries(const std::string& spec, int64_t detectors, const std::vector<uint8_t>& symbols);

  /// Whether there is a segmentation.
  bool defined() const { return !spec_.empty(); }
  /// The `spec` of the constructor.
  const std::string& spec() const { return spec_; }

  /// float32 [T, B, L-1] on the CPU for `index` int64 [T, B] (CPU), whose first row is at `position` of its stream;
  /// undefined if there is no segmentation.
  torch::Tensor operator()(const torch::Tensor& index, int64_t position) const;

 private:
  std::string spec_;
  int64_t detectors_ = 0;
  std::vector<int64_t> periods_;  ///< of a clock; empty: spaces
  torch::Tensor fires_;           ///< float32 [V, L-1]: 1 where a symbol ends a layer's segment; undefined for a clock
};

}  // namespace hmrnn
