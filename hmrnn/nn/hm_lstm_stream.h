#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm_state.h"

namespace hmrnn {

/// What one call of HMLSTM::step may set beside the input.
struct HMLSTMStepCall {
  torch::Tensor boundaries;  ///< [L-1]: z to use instead of the detector's
  torch::Tensor noise;       ///< [L-1] uniform in [0, 1), Bernoulli; undefined: drawn from LibTorch's generator
};

/// One sequence that is carried through an HMLSTM step by step: its state and what is computed once per change of
/// state. Made by HMLSTM::stream, moved on by HMLSTM::step, owned by the caller: a module has no state of its own, so
/// several threads may step several streams of one module. A stream belongs to the parameters as they were when it was
/// made: after an optimiser's step or a load make a new one, `module->stream(old.state())`.
class HMRNN_API HMLSTMStream {
 public:
  HMLSTMStream(HMLSTMStream&&) noexcept;             ///< `other` must not be used any more
  HMLSTMStream& operator=(HMLSTMStream&&) noexcept;  ///< the same
  ~HMLSTMStream();

  /// h [d] of a layer, 0 at the bottom. Written in place by later steps: clone it to keep it.
  torch::Tensor h(int64_t layer) const;
  /// [L-1]: the boundaries that the last step decided. Written in place by later steps.
  torch::Tensor z() const;
  /// The last step changed the layer's state: it was UPDATE or FLUSH, not COPY.
  bool changed(int64_t layer) const;
  /// A copy of the state for HMLSTM::forward (batch 1).
  HMLSTMState state() const;

 private:
  friend class HMLSTMImpl;
  struct Data;
  explicit HMLSTMStream(std::unique_ptr<Data> data);
  std::unique_ptr<Data> data_;
};

}  // namespace hmrnn
