#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm_state.h"

namespace hmrnn {

/// Optional arguments of HMLSTM::step. For a batched stream each has B rows.
struct HMLSTMStepCall {
  torch::Tensor boundaries;  ///< [L-1] or [B, L-1] in the parameters' dtype, 0 or 1: z instead of the detector's
  torch::Tensor noise;  ///< the same shape, uniform in [0, 1), Bernoulli; undefined: drawn from LibTorch's generator
};

/// The states of sequences that an HMLSTM processes step by step, with the products that are computed once per change
/// of state. Made by HMLSTM::stream (one sequence, whose tensors have no batch dimension) or HMLSTM::streams (batched:
/// B rows, which step together, and each of which can COPY while others UPDATE), advanced by HMLSTM::step, owned by the
/// caller: a module has no state, so several threads may step several streams of one module. A stream is valid only for
/// the parameters' values at its creation: after an optimiser step or a load make a new one with
/// `module->stream(old.state())`.
///
/// A row's h, c and z have the same bits whatever the other rows are, so that sequences can come and go:
///
///     auto batch = HMLSTMStream::join({&first, &second});  // 2 rows
///     module->step(input, batch);                          // input [2, input_size]
///     first = batch.select(0);                             // a stream of one sequence again
class HMRNN_API HMLSTMStream {
 public:
  HMLSTMStream(HMLSTMStream&&) noexcept;             ///< `other` must not be used any more
  HMLSTMStream& operator=(HMLSTMStream&&) noexcept;  ///< the same
  ~HMLSTMStream();

  /// Whether its tensors have a batch dimension.
  bool batched() const;
  /// B; 1 of a stream that is not batched
  int64_t batch() const;

  /// h [d] of a layer, batched [B, d]; layer 0 is at the bottom. Written in place by later steps: clone it to keep it.
  /// Throws c10::Error for a layer outside [0, L).
  torch::Tensor h(int64_t layer) const;
  /// [L-1], batched [B, L-1]: the boundaries that the last step decided. Written in place by later steps.
  torch::Tensor z() const;
  /// Whether the last step changed this row's state of the layer: UPDATE or FLUSH, not COPY. Always true on the devices
  /// and for the boundaries where a step is a window of one step (HMLSTM::step). Throws c10::Error for a layer outside
  /// [0, L) and for a row outside [0, B).
  bool changed(int64_t layer, int64_t row = 0) const;
  /// A copy of the state for HMLSTM::forward (batch B).
  HMLSTMState state() const;

  /// A batched stream of copies of all rows of `streams`, in this order. Throws c10::Error if there are no streams, or
  /// if they were not made by one module with the same parameters.
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
