#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "commands.h"
#include "examples/program/figures.h"
#include "hmrnn/analysis/cost.h"
#include "hmrnn/tasks/evaluate_ink.h"

/// A model's signals for a line of N points, at each point except the last. CPU, float32.
struct InkSignals {
  torch::Tensor z;            ///< [N-1, L-1] ([N-1, 0] for the LSTM)
  torch::Tensor probability;  ///< [N-1, L-1]: z̃ of the detectors
  torch::Tensor norms;        ///< [N-1, L]: norm of each layer's h
  torch::Tensor nats;         ///< [N-1]: -log density of the next point
};

/// Result of evaluating a model on some lines.
struct InkEvaluation {
  hmrnn::Evaluation result;
  hmrnn::CostCounter cost;
  double log_likelihood = 0;      ///< mean per line, nats
  std::vector<InkSignals> lines;  ///< in the order of the lines; only if requested
};

/// Scores `lines`. `signals`: fills InkEvaluation::lines too; `visit` is called for each window. Throws hmrnn::Error if
/// the result is not finite.
InkEvaluation evaluate_ink(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines,
                           torch::Device device, uint64_t seed, const std::string& run, bool signals,
                           const hmrnn::InkVisitor& visit = {});

/// The output of `eval --json`.
Json eval_json(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines, const InkEvaluation& found);

/// Pen-ups, and ends of words if they are known, for each point of a line except the last, at which evaluation ends.
std::vector<NamedEvents> ink_events(const ChosenLines& lines);
/// The boundaries of each layer in each line, for an evaluation with `signals`. Throws hmrnn::Error for a model without
/// detectors.
std::vector<hmrnn::MarkSequences> ink_boundaries(const InkEvaluation& found, const std::string& run);

/// The output of `align --json`, for an evaluation with `signals`.
Json align_json(const ChosenLines& lines, const InkEvaluation& found, const hmrnn::AgreementOptions& options,
                const std::string& run);
