#pragma once

#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <optional>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Options of OutputModule.
struct HMRNN_API OutputModuleOptions {
  OutputModuleOptions(std::vector<int64_t> hidden_sizes, int64_t embedding_size)
      : hidden_sizes_(std::move(hidden_sizes)), embedding_size_(embedding_size) {}

  /// units of each recurrent layer
  TORCH_ARG(std::vector<int64_t>, hidden_sizes);
  /// size of h^e
  TORCH_ARG(int64_t, embedding_size);
  /// classes of the softmax layer that follows h^e; 0: there is none
  TORCH_ARG(int64_t, classes) = 0;
};

/// The matrices W^e_l [embedding_size, d_l] as parameters "0", "1", … In place of torch::nn::ParameterList, whose
/// clone() throws because its reset() registers nothing.
class HMRNN_API OutputEmbeddingImpl : public torch::nn::Cloneable<OutputEmbeddingImpl> {
 public:
  /// Sizes are checked by OutputModule.
  explicit OutputEmbeddingImpl(const OutputModuleOptions& options);

  /// The matrices are left uninitialised; OutputModule::reset_parameters fills them.
  void reset() override;
  void pretty_print(std::ostream& stream) const override;

  /// W^e of a layer, 0 at the bottom
  torch::Tensor operator[](size_t layer) const { return parameters_[layer].value(); }

  OutputModuleOptions options;
};

TORCH_MODULE(OutputEmbedding);

/// The gated combination of all layers (the paper's output module; ops/gated_output.h).
class HMRNN_API OutputModuleImpl : public torch::nn::Cloneable<OutputModuleImpl> {
 public:
  /// Throws c10::Error for no layers, a size below 1 or a negative number of classes.
  explicit OutputModuleImpl(const OutputModuleOptions& options);

  void reset() override;
  /// gates and embedding uniform(±1/√Σd), softmax weight and bias uniform(±1/√out)
  void reset_parameters();
  void pretty_print(std::ostream& stream) const override;

  /// h per layer [T, B, d_l], state_index int32 [L, T, B] or undefined → h^e [T, B, embedding_size]
  torch::Tensor forward(const std::vector<torch::Tensor>& h, const torch::Tensor& state_index = {});

  /// See HMLSTM::set_product_dtype.
  void set_product_dtype(std::optional<torch::ScalarType> dtype) { product_dtype_ = dtype; }

  OutputModuleOptions options;
  torch::Tensor gates;                 ///< w [L, Σd]
  OutputEmbedding embedding{nullptr};  ///< W^e_l [out, d_l]
  torch::nn::Linear softmax{nullptr};  ///< h^e → logits; empty without classes

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())})

 private:
  std::optional<torch::ScalarType> product_dtype_;
};

TORCH_MODULE(OutputModule);

}  // namespace hmrnn
