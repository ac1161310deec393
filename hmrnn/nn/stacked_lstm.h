#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/nn/hm_lstm.h"

namespace hmrnn {

/// Options of StackedLSTM.
struct HMRNN_API StackedLSTMOptions {
  StackedLSTMOptions(int64_t input_size, std::vector<int64_t> hidden_sizes)
      : input_size_(input_size), hidden_sizes_(std::move(hidden_sizes)) {}

  /// features of the input
  TORCH_ARG(int64_t, input_size);
  /// units of each layer, bottom to top; at least one layer
  TORCH_ARG(std::vector<int64_t>, hidden_sizes);
  /// layer normalisation of U h, W h (4d rows each) and of c (Ba et al. 2016)
  TORCH_ARG(bool, layer_norm) = true;
  /// initial bias of the forget gates
  TORCH_ARG(double, forget_bias) = 0.0;
  /// how U and W are initialised
  TORCH_ARG(Initialisation, init) = Initialisation::Uniform;
  /// initial gain of the norms of U h and W h, see HMLSTMCellOptions
  TORCH_ARG(double, norm_gain) = 1.0;
  /// added to the variance in layer norm
  TORCH_ARG(double, eps) = 1e-5;
  /// See HMLSTMOptions.
  TORCH_ARG(double, recurrent_dropout) = 0.0;
  /// See HMLSTMOptions: the layer above and the output module read the masked h.
  TORCH_ARG(double, locked_dropout) = 0.0;
  /// See HMLSTMOptions.
  TORCH_ARG(double, weight_drop) = 0.0;
};

/// The control of experiments: plain stacked LSTM layers, with the layer norm and the kernels of HMLSTM. A single
/// HM-LSTM layer always UPDATEs, which is an LSTM step; so this is L chained one-layer calls of ops/hm_lstm.
/// Parameters: `layers.{l}.recurrent [4d, d]`, `.bottom_up [4d, d_below]`, `.bias [4d]`, rows f, i, o, g, and the
/// norms.
class HMRNN_API StackedLSTMImpl : public torch::nn::Cloneable<StackedLSTMImpl> {
 public:
  /// Throws c10::Error for no layers, a size below 1 or a probability outside [0, 1).
  explicit StackedLSTMImpl(const StackedLSTMOptions& options);

  void reset() override;
  /// HMLSTMCell::reset_parameters of every layer.
  void reset_parameters();
  void pretty_print(std::ostream& stream) const override;

  /// `input` [T, B, input_size]. The output is as of HMLSTM, with z [T, B, 0]. Of `call`, only `lengths` is used.
  HMLSTMOutput forward(const torch::Tensor& input, const std::optional<HMLSTMState>& state = std::nullopt,
                       const HMLSTMCall& call = {});
  /// See HMLSTM::forward_indexed.
  HMLSTMOutput forward_indexed(const torch::Tensor& table, const torch::Tensor& index,
                               const std::optional<HMLSTMState>& state = std::nullopt, const HMLSTMCall& call = {});

  /// One time step of B sequences without dropout or gradients, whatever the mode of the module: `table`
  /// [V, input_size], `symbols` int64 [B], rows of it. Returns the new state, of B rows. Throws c10::Error for another
  /// shape, dtype or device, and for a symbol outside of the table.
  HMLSTMState step_indexed(const torch::Tensor& table, const torch::Tensor& symbols, const HMLSTMState& state);

  /// All zeros, in the parameters' dtype and on their device; z [B, 0].
  HMLSTMState initial_state(int64_t batch) const;

  /// See HMLSTM::set_product_dtype.
  void set_product_dtype(std::optional<torch::ScalarType> dtype) { product_dtype_ = dtype; }

  /// L
  int64_t num_layers() const { return static_cast<int64_t>(options.hidden_sizes().size()); }

  StackedLSTMOptions options;
  torch::nn::ModuleList layers{nullptr};  ///< of HMLSTMCell, each a top layer

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(std::optional<HMLSTMState>())},
                           {2, torch::nn::AnyValue(HMLSTMCall())})

 private:
  HMLSTMOutput run(WindowInput window, const std::optional<HMLSTMState>& state, const HMLSTMCall& call, bool training);

  std::optional<torch::ScalarType> product_dtype_;
};

TORCH_MODULE(StackedLSTM);

}  // namespace hmrnn
