#pragma once

#include <torch/types.h>

#include <optional>
#include <utility>

#include "hmrnn/ops/product_dtype.h"

namespace hmrnn {

/// While it lives, a model (CharLM, HandwritingModel) is in evaluation mode and in float32, without TF32; afterwards it
/// trains as it did before, with products in the dtype given.
template <typename Model>
class EvaluationMode {
 public:
  EvaluationMode(Model model, std::optional<torch::ScalarType> product_dtype)
      : model_(std::move(model)), was_training_(model_->is_training()), product_dtype_(product_dtype) {
    model_->eval();
    model_->set_product_dtype(std::nullopt);
    if (model_->parameters().front().is_cuda()) full_.emplace(/*allowed=*/false);
  }
  ~EvaluationMode() {
    model_->train(was_training_);
    model_->set_product_dtype(product_dtype_);
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  Model model_;
  bool was_training_;
  std::optional<torch::ScalarType> product_dtype_;
  std::optional<TF32Products> full_;
};

}  // namespace hmrnn
