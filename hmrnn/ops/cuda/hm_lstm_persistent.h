#pragma once

#include "hmrnn/ops/cuda/hm_lstm_chip.h"
#include "hmrnn/ops/cuda/hm_lstm_plan.h"

namespace hmrnn::cuda {

/// The arguments of one launch for all steps of a window. The kernel sets `window.layer` to its copy of `layer`.
template <class Window, class LayerOfWindow, class P>
struct Persistent {
  using Layer = LayerOfWindow;
  static_assert(sizeof(Layer) <= kLayerBytes);

  Window window;
  ChipPlan chip;
  Layer layer[kMaxChipLayers];
  const P* weights[kMaxChipLayers] = {};  ///< [width, d] each
};

template <class T, class P>
using PersistentForward = Persistent<ForwardPlan<T, P>, LayerForwardPlan<T, P>, P>;
/// `through` of a layer has as many parts as its product.
template <class T, class P>
using PersistentBackward = Persistent<BackwardPlan<T, P>, LayerBackwardPlan<T, P>, P>;

}  // namespace hmrnn::cuda
