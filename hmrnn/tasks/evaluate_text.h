#pragma once

#include <torch/types.h>

#include <functional>
#include <optional>

#include "hmrnn/data/text_streams.h"
#include "hmrnn/export.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/models/given_boundaries.h"
#include "hmrnn/train/training_task.h"

namespace hmrnn {

/// Steps per window of an evaluation; only memory depends on it, since evaluation builds no autograd graph.
constexpr int64_t kEvaluationWindow = 200;

/// Called for every window of an evaluation with the state before it and the model's output, on the evaluation's
/// device.
using TextVisitor =
    std::function<void(const TextWindow& window, const HMLSTMState& before, const CharLMOutput& output)>;

/// Scores every target of `streams` (made with `exact`) with `model` on `device`, in evaluation mode, without gradients
/// and in float32 (afterwards the model's training mode is restored, and its product dtype is set to `product_dtype`).
/// State is carried along each stream. Boundaries are the detectors', or those of `given`. Bernoulli boundaries are
/// drawn from a separate generator, seeded with `seed`. Each of `ranks` processes scores its own streams
/// (rows_of_rank). Empty if `stop`, called before each window, returned true.
HMRNN_API std::optional<Evaluation> evaluate_text(CharLM model, const TextStreams& streams, torch::Device device,
                                                  uint64_t seed, const std::function<bool()>& stop = {},
                                                  std::optional<torch::ScalarType> product_dtype = std::nullopt,
                                                  const GivenBoundaries& given = {}, const TextVisitor& visit = {},
                                                  int64_t rank = 0, int64_t ranks = 1);

}  // namespace hmrnn
