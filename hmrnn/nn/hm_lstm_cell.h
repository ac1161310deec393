#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <string>

#include "hmrnn/export.h"
#include "hmrnn/ops/reference.h"

namespace hmrnn {

/// Initialisation of a layer's matrices, which the paper leaves open.
enum class Initialisation {
  Uniform,     ///< U, V, W uniform(±1/√d)
  Orthogonal,  ///< gate rows of square matrices: one orthogonal [d, d] block, the same for each of the four gates; gate
               ///< rows of other matrices, and all boundary rows: uniform(±√(6 / (fan in + fan out))) (Glorot)
};

/// "uniform" or "orthogonal"; throws hmrnn::Error for anything else.
HMRNN_API Initialisation parse_initialisation(const std::string& name);
/// The name that parse_initialisation accepts.
HMRNN_API std::string to_string(Initialisation initialisation);

/// Options of HMLSTMCell.
///
///     HMLSTMCell cell(HMLSTMCellOptions(128, 512).above_size(512).layer_norm(false));
struct HMRNN_API HMLSTMCellOptions {
  HMLSTMCellOptions(int64_t input_size, int64_t hidden_size) : input_size_(input_size), hidden_size_(hidden_size) {}

  /// features of the layer below (of the input for the first layer)
  TORCH_ARG(int64_t, input_size);
  /// units d
  TORCH_ARG(int64_t, hidden_size);
  /// units of the layer above; 0: this is the top layer, which has no boundary and no top-down term
  TORCH_ARG(int64_t, above_size) = 0;
  /// layer normalisation of U h, V h, W h (4d gate rows each) and of c
  TORCH_ARG(bool, layer_norm) = true;
  /// how boundaries are decided
  TORCH_ARG(BoundaryMode, boundary) = BoundaryMode::Step;
  /// initial bias of the forget gate
  TORCH_ARG(double, forget_bias) = 0.0;
  /// initial bias of the boundary row
  TORCH_ARG(double, boundary_bias) = 0.0;
  /// how U, V and W are initialised
  TORCH_ARG(Initialisation, init) = Initialisation::Uniform;
  /// initial gain of the norms of U h, V h and W h (that of c starts at 1); a gain below 1 keeps early gradients small
  TORCH_ARG(double, norm_gain) = 1.0;
  /// added to the variance in layer norm
  TORCH_ARG(double, eps) = 1e-5;
};

/// State of one layer: h, c [B, d] and, below the top, z [B] (undefined at the top).
struct HMLSTMCellState {
  torch::Tensor h;  ///< [B, d]
  torch::Tensor c;  ///< [B, d]
  torch::Tensor z;  ///< [B]
};

/// One layer of the HM-LSTM, one step (equations 1–7 of the paper): the readable reference, in plain ATen and autograd.
/// HMLSTM holds its layers' parameters in cells and computes windows of them with ops/hm_lstm.
class HMRNN_API HMLSTMCellImpl : public torch::nn::Cloneable<HMLSTMCellImpl> {
 public:
  /// The same with the defaults of HMLSTMCellOptions.
  HMLSTMCellImpl(int64_t input_size, int64_t hidden_size)
      : HMLSTMCellImpl(HMLSTMCellOptions(input_size, hidden_size)) {}
  /// Throws c10::Error for sizes below 1 (above_size below 0).
  explicit HMLSTMCellImpl(const HMLSTMCellOptions& options);

  void reset() override;
  /// U, V, W according to `init`, gains norm_gain (that of c: 1), all biases 0 but for forget_bias and boundary_bias.
  void reset_parameters();
  /// Scales the boundary row of U, V and W down to a norm of at most `cap`, which keeps hardσ where it has a gradient.
  /// Has no effect on the top layer. Does not synchronise with the device. Throws c10::Error unless `cap` is above 0.
  void cap_detector_norm(double cap);
  /// Adds `change` (0-d, floating, on the device of the parameters) to the bias of the boundary detector, without a
  /// gradient. Has no effect on the top layer. Does not synchronise with the device. Throws c10::Error if `change` is
  /// not 0-d.
  void shift_detector_bias(const torch::Tensor& change);
  void pretty_print(std::ostream& stream) const override;

  /// below [B, input_size]; z_below [B]; state of t-1; above [B, above_size] of t-1 (undefined at the top); slope: a.
  /// noise [B], uniform in [0, 1): drawn here if undefined and the boundary is Bernoulli. z_below and state.z are 0 or
  /// 1, unless boundaries are soft. Throws c10::Error naming what does not fit; on a GPU the device reports another z.
  HMLSTMCellState forward(const torch::Tensor& below, const torch::Tensor& z_below, const HMLSTMCellState& state,
                          const torch::Tensor& above = {}, double slope = 1.0, const torch::Tensor& noise = {});

  /// The zero state of a batch, in the parameters' dtype and on their device.
  HMLSTMCellState initial_state(int64_t batch) const;

  /// The parameters as the operators take them (they share memory and gradients with the module).
  LayerParameters parameters_of_layer() const;

  HMLSTMCellOptions options;

  torch::Tensor recurrent;                       ///< U [R, d]
  torch::Tensor bottom_up;                       ///< W [R, input_size]
  torch::Tensor top_down;                        ///< V [R, above_size], undefined at the top
  torch::Tensor bias;                            ///< b [R]
  torch::nn::LayerNorm recurrent_norm{nullptr};  ///< of U h [4d]; empty without layer norm
  torch::nn::LayerNorm bottom_up_norm{nullptr};  ///< of W h [4d]
  torch::nn::LayerNorm top_down_norm{nullptr};   ///< of V h [4d]; empty at the top
  torch::nn::LayerNorm cell_norm{nullptr};       ///< of c [d]

 protected:
  FORWARD_HAS_DEFAULT_ARGS({3, torch::nn::AnyValue(torch::Tensor())}, {4, torch::nn::AnyValue(1.0)},
                           {5, torch::nn::AnyValue(torch::Tensor())})
};

TORCH_MODULE(HMLSTMCell);

}  // namespace hmrnn
