#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "hmrnn/nn/hm_lstm_state.h"
#include "hmrnn/nn/hm_lstm_stream.h"
#include "hmrnn/ops/hm_lstm.h"

namespace hmrnn {

/// Options of HMLSTM.
///
///     HMLSTM model(HMLSTMOptions(128, {512, 512, 512}).layer_norm(true).boundary(BoundaryMode::Step));
struct HMRNN_API HMLSTMOptions {
  HMLSTMOptions(int64_t input_size, std::vector<int64_t> hidden_sizes)
      : input_size_(input_size), hidden_sizes_(std::move(hidden_sizes)) {}

  /// features of the input
  TORCH_ARG(int64_t, input_size);
  /// units of each layer, bottom to top; at least one layer
  TORCH_ARG(std::vector<int64_t>, hidden_sizes);
  /// layer normalisation of U h, V h, W h (4d gate rows each) and of c
  TORCH_ARG(bool, layer_norm) = true;
  /// how boundaries are decided
  TORCH_ARG(BoundaryMode, boundary) = BoundaryMode::Step;
  /// slope a of hardσ at the start
  TORCH_ARG(double, slope) = 1.0;
  /// initial bias of the forget gates
  TORCH_ARG(double, forget_bias) = 0.0;
  /// initial bias of the boundary rows
  TORCH_ARG(double, boundary_bias) = 0.0;
  /// how U, V and W are initialised
  TORCH_ARG(Initialisation, init) = Initialisation::Uniform;
  /// initial gain of the norms of U h, V h and W h, see HMLSTMCellOptions
  TORCH_ARG(double, norm_gain) = 1.0;
  /// added to the variance in layer norm
  TORCH_ARG(double, eps) = 1e-5;
  /// probability, in training, of dropping a unit of g at an UPDATE or FLUSH; at a COPY nothing is drawn
  /// (WindowDropout; Semeniuta et al. 2016)
  TORCH_ARG(double, recurrent_dropout) = 0.0;
  /// probability, in training, of dropping a unit of h, drawn once per window and batch row. The mask applies where
  /// other parts of the model read h: the gate rows of W above and V below (WindowDropout), and the output module, see
  /// HMLSTMOutput::shown (Gal and Ghahramani 2016); the layer itself reads h unmasked
  TORCH_ARG(double, locked_dropout) = 0.0;
  /// probability, in training, of dropping a weight of the gate rows of U for a whole window (Merity et al. 2018)
  TORCH_ARG(double, weight_drop) = 0.0;
};

/// What HMLSTM::forward returns.
struct HMRNN_API HMLSTMOutput {
  std::vector<torch::Tensor> h;  ///< per layer [T, B, d_l]
  torch::Tensor z;               ///< [T, B, L-1]: the boundaries of every layer but the top
  torch::Tensor state_index;     ///< int32 [L, T, B]: number of the row's state after each step (ops/reference.h)
  HMLSTMState state;             ///< after the last step
  torch::Tensor locked_mask;     ///< [B, Σ d_l]: 0, or 1/(1-p); undefined without locked dropout, and in evaluation

  /// h as input of an output module: multiplied by the locked mask, if there is one.
  std::vector<torch::Tensor> shown() const;
};

/// What a call of HMLSTM::forward may set beside input and state.
struct HMLSTMCall {
  torch::Tensor boundaries;        ///< [T, B, L-1] in the parameters' dtype, 0 or 1: z instead of the detector's
  bool boundary_gradient = false;  ///< with `boundaries`: straight-through gradients to the detector
  torch::Tensor
      noise;  ///< the same shape and dtype, uniform in [0, 1), Bernoulli; undefined: drawn from LibTorch's generator
  torch::Tensor lengths;  ///< int64 [B]: steps past a sequence's end change nothing
};

/// The stack of HM-LSTM layers over a window of steps (equations 1–7 of the paper).
class HMRNN_API HMLSTMImpl : public torch::nn::Cloneable<HMLSTMImpl> {
 public:
  /// The same with the defaults of HMLSTMOptions.
  HMLSTMImpl(int64_t input_size, std::vector<int64_t> hidden_sizes)
      : HMLSTMImpl(HMLSTMOptions(input_size, std::move(hidden_sizes))) {}
  /// Throws c10::Error for no layers, a size below 1 or a probability outside [0, 1).
  explicit HMLSTMImpl(const HMLSTMOptions& options);

  void reset() override;
  /// HMLSTMCell::reset_parameters of every layer.
  void reset_parameters();
  /// HMLSTMCell::cap_detector_norm of every layer. Throws c10::Error unless `cap` is above 0.
  void cap_detector_norms(double cap);
  /// HMLSTMCell::shift_detector_bias of every layer but the top one by its value of `changes` [L-1]. Throws c10::Error
  /// for another shape.
  void shift_detector_biases(const torch::Tensor& changes);
  void pretty_print(std::ostream& stream) const override;

  /// `input` [T, B, input_size] in the parameters' dtype; no `state`: zeros. Throws c10::Error naming the argument,
  /// what was expected and what was found, as hm_lstm does.
  HMLSTMOutput forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state = std::nullopt,
                       const HMLSTMCall& call = {});

  /// The same for inputs that are rows of a table [V, input_size] (an embedding): `index` int64 [T, B]. W x of the
  /// first layer is then computed once for each row of the table.
  HMLSTMOutput forward_indexed(const torch::Tensor& table, const torch::Tensor& index,
                               const std::optional<HMLSTMState>& state = std::nullopt, const HMLSTMCall& call = {});

  /// A stream of one sequence, without a batch dimension, from `state` (batch 1; none: zeros), for the present values
  /// of the parameters. Evaluation only: no gradients.
  HMLSTMStream stream(const std::optional<HMLSTMState>& state = std::nullopt) const;
  /// A batched stream of `batch` ≥ 1 sequences from zeros, for example for a service with many users. Throws c10::Error
  /// for a batch below 1.
  HMLSTMStream streams(int64_t batch) const;
  /// A batched stream from the B rows of `state`.
  HMLSTMStream streams(const HMLSTMState& state) const;

  /// One step of every sequence: `input` [input_size], of a batched stream [B, input_size]. On the CPU with hard
  /// boundaries a COPY costs nothing, and all rows of a layer that UPDATE or FLUSH share one product per matrix, in the
  /// parameters' dtype (set_product_dtype has no effect); otherwise the step is a window of one step. Throws
  /// c10::Error, before any row has changed, where input, boundaries or noise have another shape, dtype or device,
  /// and for a stream that another module made.
  void step(const torch::Tensor& input, HMLSTMStream& stream, const HMLSTMStepCall& call = {}) const;

  /// The same for row `index` of a table [V, input_size], which must be the same at every step: W x of a row is
  /// computed only once. For a stream that is not batched.
  void step_indexed(const torch::Tensor& table, int64_t index, HMLSTMStream& stream,
                    const HMLSTMStepCall& call = {}) const;
  /// The same for a batched stream: `index` int64 [B]. Throws c10::Error where one is outside [0, V).
  void step_indexed(const torch::Tensor& table, const torch::Tensor& index, HMLSTMStream& stream,
                    const HMLSTMStepCall& call = {}) const;

  /// All zeros, in the parameters' dtype and on their device.
  HMLSTMState initial_state(int64_t batch) const;

  /// Sets the slope a of hardσ. Throws c10::Error unless it is a finite number above 0.
  void set_slope(double slope);
  double slope() const;  ///< see set_slope

  /// bfloat16: operands of the gate products are rounded to bfloat16 (sums in float32). nullopt: the parameters' dtype.
  void set_product_dtype(std::optional<torch::ScalarType> dtype) { product_dtype_ = dtype; }
  /// See set_product_dtype.
  std::optional<torch::ScalarType> product_dtype() const { return product_dtype_; }

  /// L
  int64_t num_layers() const { return static_cast<int64_t>(options.hidden_sizes().size()); }
  /// The parameters as the operators take them (they share memory and gradients with the module).
  std::vector<LayerParameters> layer_parameters() const;

  HMLSTMOptions options;
  torch::nn::ModuleList layers{nullptr};  ///< of HMLSTMCell

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(std::optional<HMLSTMState>())},
                           {2, torch::nn::AnyValue(HMLSTMCall())})

 private:
  HMLSTMOutput run(WindowInput window, const std::optional<HMLSTMState>& state, const HMLSTMCall& call,
                   bool training) const;
  HMLSTMStream make_stream(const char* function, const HMLSTMState& state, bool batched) const;
  void check_table(const torch::Tensor& table) const;
  void advance(const torch::Tensor& input, const int64_t* rows, HMLSTMStream& stream, const HMLSTMStepCall& call) const;

  torch::Tensor slope_;  ///< buffer, 0-d: a CUDA graph reads it at every replay
  std::optional<torch::ScalarType> product_dtype_;
};

TORCH_MODULE(HMLSTM);

}  // namespace hmrnn
