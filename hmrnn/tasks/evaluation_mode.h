#pragma once

#include <torch/types.h>

#include <optional>
#include <utility>

#include "hmrnn/ops/product_dtype.h"

namespace hmrnn {

/// Sets a model (CharLM, HandwritingModel) to evaluation mode and float32 products without TF32 for its lifetime; the
/// destructor restores the training mode and sets the given dtype of products.
template <typename Model>
class EvaluationMode {
 public:
  EvaluationMode(Model model, std::optional<torch::ScalarType> product_dtype)
      : model_(std::move(model)), was_training_(model_->is_training()), product_dtype_(product_dtype) {
    model_->eval();
    model_->set_product_dtype(std::nullopt);
    if (model_->parameters().front().is_cuda()) without_tf32_.emplace(/*allowed=*/false);
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
  std::optional<TF32Products> without_tf32_;
};

}  // namespace hmrnn
