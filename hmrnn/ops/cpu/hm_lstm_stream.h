#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn::cpu {

/// The state of one sequence, computed a step at a time, without autograd. A COPY costs a comparison (and, where the
/// boundary is detected, a sum of three known numbers); an UPDATE or FLUSH one product a matrix, of which V h^ is kept
/// until the state above changes and W x until its row of the table occurs again. Hard boundaries only. One thread at a
/// time; any number of streams may share the parameters.
class HMLSTMStream {
 public:
  virtual ~HMLSTMStream() = default;

  /// `x`: e values, the input. `row` ≥ 0: x is this row of a table that does not change: W x is remembered
  /// (of the first 4096 rows). `given`, `noise`: L-1 values as in WindowInput's rule, or null.
  virtual void step(const void* x, int64_t row, const void* given, const void* noise) = 0;

  std::vector<at::Tensor> h;  ///< per layer [d_l], written in place by each step that changes the layer
  std::vector<at::Tensor> c;  ///< per layer [d_l]
  at::Tensor z;               ///< [L-1]
  std::vector<char> changed;  ///< [L]: the last step was UPDATE or FLUSH
};

/// A stream over the parameters of `a` from h0, c0, z0 (batch 1, copied); `a.input` and the rest are not read, but for
/// slope, which each step reads, and eps. Parameters that are not contiguous are copied, as they are now. The stream
/// keeps the parameters' memory alive and must not outlive their values.
std::unique_ptr<HMLSTMStream> make_stream(const HMLSTMArguments& a);

}  // namespace hmrnn::cpu
