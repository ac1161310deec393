#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/dropout.h>
#include <torch/types.h>

#include <optional>

#include "hmrnn/export.h"
#include "hmrnn/models/core.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/output_module.h"
#include "hmrnn/nn/stacked_lstm.h"

namespace hmrnn {

/// The common part of CharLM and HandwritingModel: a core, which is the HM-LSTM or the control, and the gated output
/// module. Parameter names: `hm_lstm.layers.{l}.…` (or `lstm.layers.{l}.…`) and `output.…`.
template <typename Derived>
class HMRNN_API RecurrentModel : public torch::nn::Cloneable<Derived> {
 public:
  /// The core's, all zeros, in the parameters' dtype and on their device.
  HMLSTMState initial_state(int64_t batch) const {
    return hm_lstm.is_empty() ? lstm->initial_state(batch) : hm_lstm->initial_state(batch);
  }

  /// The slope of the boundary detector (1 for the control, which has none; setting it there has no effect).
  void set_slope(double slope) {
    if (!hm_lstm.is_empty()) hm_lstm->set_slope(slope);
  }
  /// The current slope.
  double slope() const { return hm_lstm.is_empty() ? 1.0 : hm_lstm->slope(); }

  /// HMLSTM::cap_detector_norms; no effect on the control.
  void cap_detector_norms(double cap) {
    if (!hm_lstm.is_empty()) hm_lstm->cap_detector_norms(cap);
  }

  /// HMLSTM::shift_detector_biases; no effect on the control, or for an undefined tensor.
  void shift_detector_biases(const torch::Tensor& changes) {
    if (!hm_lstm.is_empty() && changes.defined()) hm_lstm->shift_detector_biases(changes);
  }

  /// bfloat16: operands of the products of the recurrent layers and of the output module are rounded; nullopt: float32.
  void set_product_dtype(std::optional<torch::ScalarType> dtype) {
    if (!hm_lstm.is_empty()) hm_lstm->set_product_dtype(dtype);
    if (!lstm.is_empty()) lstm->set_product_dtype(dtype);
    output->set_product_dtype(dtype);
  }

  HMLSTM hm_lstm{nullptr};              ///< empty for Core::LSTM
  StackedLSTM lstm{nullptr};            ///< empty for Core::HMLSTM
  OutputModule output{nullptr};         ///< the gated combination h^e of all layers
  torch::nn::Dropout dropout{nullptr};  ///< of h^e

 protected:
  /// Makes the core that `options` select, for inputs of `input_size` features.
  template <typename Options>
  void register_core(int64_t input_size, const Options& options) {
    if (options.core() == Core::HMLSTM) {
      hm_lstm = this->register_module("hm_lstm", HMLSTM(HMLSTMOptions(input_size, options.hidden_sizes())
                                                            .layer_norm(options.layer_norm())
                                                            .boundary(options.boundary())
                                                            .slope(options.slope())
                                                            .forget_bias(options.forget_bias())
                                                            .boundary_bias(options.boundary_bias())
                                                            .init(options.init())
                                                            .norm_gain(options.norm_gain())
                                                            .recurrent_dropout(options.recurrent_dropout())
                                                            .locked_dropout(options.locked_dropout())
                                                            .weight_drop(options.weight_drop())));
    } else {
      lstm = this->register_module("lstm", StackedLSTM(StackedLSTMOptions(input_size, options.hidden_sizes())
                                                           .layer_norm(options.layer_norm())
                                                           .forget_bias(options.forget_bias())
                                                           .init(options.init())
                                                           .norm_gain(options.norm_gain())
                                                           .recurrent_dropout(options.recurrent_dropout())
                                                           .locked_dropout(options.locked_dropout())
                                                           .weight_drop(options.weight_drop())));
    }
  }
  /// Makes the output module, with a softmax layer of `classes` classes (0: without one), and the dropout.
  template <typename Options>
  void register_output(const Options& options, int64_t classes) {
    const auto of = OutputModuleOptions(options.hidden_sizes(), options.output_embedding_size()).classes(classes);
    output = this->register_module("output", OutputModule(of));
    dropout = this->register_module("dropout", torch::nn::Dropout(options.dropout()));
  }
};

}  // namespace hmrnn
