#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm_state.h"

namespace hmrnn {

/// What one call of HMLSTM::step may set beside the input. For a batched stream each has B rows.
struct HMLSTMStepCall {
  torch::Tensor boundaries;  ///< [L-1] or [B, L-1]: z to use instead of the detector's
  torch::Tensor noise;  ///< the same shape, uniform in [0, 1), Bernoulli; undefined: drawn from LibTorch's generator
};

/// Sequences that are carried through an HMLSTM step by step: their states and what is computed once per change of
/// state. Made by HMLSTM::stream (one sequence, whose tensors have no batch dimension) or HMLSTM::streams (batched: B
/// rows, which step together and COPY each by itself), moved on by HMLSTM::step, owned by the caller: a module has no
/// state of its own, so several threads may step several streams of one module. A stream belongs to the parameters as
/// they were when it was made: after an optimiser's step or a load make a new one, `module->stream(old.state())`.
///
/// A row's h, c and z have the same bits whichever rows are beside it, so that sequences can come and go:
///
///     auto crowd = HMLSTMStream::join({&first, &second});  // 2 rows
///     module->step(input, crowd);                          // input [2, input_size]
///     first = crowd.select(0);                             // goes on by itself
class HMRNN_API HMLSTMStream {
 public:
  HMLSTMStream(HMLSTMStream&&) noexcept;             ///< `other` must not be used any more
  HMLSTMStream& operator=(HMLSTMStream&&) noexcept;  ///< the same
  ~HMLSTMStream();

  /// Its tensors have a batch dimension.
  bool batched() const;
  /// B; 1 of a stream that is not batched
  int64_t batch() const;

  /// h [d] of a layer, batched [B, d]; layer 0 is at the bottom. Written in place by later steps: clone it to keep it.
  torch::Tensor h(int64_t layer) const;
  /// [L-1], batched [B, L-1]: the boundaries that the last step decided. Written in place by later steps.
  torch::Tensor z() const;
  /// The last step changed the layer's state of this row: it was UPDATE or FLUSH, not COPY.
  bool changed(int64_t layer, int64_t row = 0) const;
  /// A copy of the state for HMLSTM::forward (batch B).
  HMLSTMState state() const;

  /// A batched stream of copies of all rows of these, in this order. Throws c10::Error where there is none, or where
  /// they were not made by one module with the same parameters.
  static HMLSTMStream join(const std::vector<const HMLSTMStream*>& streams);
  /// A copy of row `row` as a stream that is not batched; throws c10::Error for a row outside [0, B).
  HMLSTMStream select(int64_t row) const;
  /// A batched stream of copies of these rows, in this order, at least one; a row may occur several times.
  HMLSTMStream select_rows(const std::vector<int64_t>& rows) const;
  /// A copy of each row as a stream that is not batched.
  std::vector<HMLSTMStream> split() const;

 private:
  friend class HMLSTMImpl;
  struct Data;
  struct Source;
  explicit HMLSTMStream(std::unique_ptr<Data> data);
  static HMLSTMStream gather(const std::vector<Source>& rows, bool batched);
  const Data& data(const char* function) const;

  std::unique_ptr<Data> data_;
};

}  // namespace hmrnn
