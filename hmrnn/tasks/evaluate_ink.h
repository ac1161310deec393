#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "hmrnn/data/ink_batches.h"
#include "hmrnn/export.h"
#include "hmrnn/models/handwriting_model.h"
#include "hmrnn/train/training_task.h"

namespace hmrnn {

/// Steps per window of an evaluation; only memory depends on it.
constexpr int64_t kInkEvaluationWindow = 500;
/// Batch size of an evaluation.
constexpr int64_t kInkEvaluationBatch = 64;

/// Called for every window of an evaluation with the state before it and the model's output, on the evaluation's
/// device.
using InkVisitor =
    std::function<void(const InkWindow& window, const HMLSTMState& before, const HandwritingOutput& output)>;

/// Scores every target of `batches` (made without a seed) with `model` on `device`, in evaluation mode, without
/// gradients and in float32 (afterwards the model's training mode is restored, and its product dtype is set to
/// `product_dtype`). Each sequence starts from zeros. `loss` is per point; a sequence's log-likelihood is on average
/// -loss · count / batches.sequences(). Bernoulli boundaries are drawn from a separate generator, seeded with `seed`.
/// Empty if `stop`, called before each window, returned true.
HMRNN_API std::optional<Evaluation> evaluate_ink(HandwritingModel model, const InkBatches& batches,
                                                 torch::Device device, uint64_t seed,
                                                 const std::function<bool()>& stop = {},
                                                 std::optional<torch::ScalarType> product_dtype = std::nullopt,
                                                 const InkVisitor& visit = {});

}  // namespace hmrnn
