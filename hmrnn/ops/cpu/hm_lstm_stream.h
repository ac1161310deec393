#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn::cpu {

/// The states of B sequences, advanced by one step at a time, without autograd. A COPY costs a comparison (and, where
/// the boundary is detected, a sum of two known numbers). Layer by layer, the rows that UPDATE or FLUSH share one
/// product per matrix; V h^ is kept until the state above changes, and W x of the first layer for later occurrences of
/// the same row of a table. A row has the same bits whatever the other rows are. Hard boundaries only. One thread at a
/// time; any number of streams may share the parameters.
class HMLSTMStream {
 public:
  virtual ~HMLSTMStream() = default;

  /// `x` [B, e], the input. `rows` [B]: where it is ≥ 0, row b of x is this row of a table that does not change, and
  /// its W x is cached (for the first 4096 rows of the table); null: nothing is cached. `given`, `noise`: [B, L-1] as
  /// in BoundaryRule, or null.
  virtual void step(const void* x, const int64_t* rows, const void* given, const void* noise) = 0;

  /// A row of a stream over the same parameters.
  using Row = std::pair<const HMLSTMStream*, int64_t>;
  /// A new stream of copies of these rows, in this order, which shares this stream's cache of W x.
  virtual std::unique_ptr<HMLSTMStream> gather(const std::vector<Row>& rows) const = 0;

  std::vector<at::Tensor> h;  ///< per layer [B, d_l], written in place by each step that changes the layer
  std::vector<at::Tensor> c;  ///< per layer [B, d_l]
  at::Tensor z;               ///< [B, L-1]
  std::vector<char> changed;  ///< [L, B]: the last step was UPDATE or FLUSH
};

/// A stream over the parameters of `a` from h0, c0, z0 (batch B, copied); of the rest only slope (at each step that
/// detects boundaries) and eps are read. Parameters that are not contiguous are copied, with their present values. The
/// stream keeps the parameters' memory alive and must not outlive their values.
std::unique_ptr<HMLSTMStream> make_stream(const HMLSTMArguments& a);

}  // namespace hmrnn::cpu
