#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "commands.h"
#include "examples/program/figures.h"
#include "hmrnn/analysis/cost.h"
#include "hmrnn/tasks/evaluate_ink.h"

/// What a model made of a line of N points, at each but the last. On the CPU, float32.
struct InkLook {
  torch::Tensor z;            ///< [N-1, L-1] ([N-1, 0] for the control)
  torch::Tensor probability;  ///< [N-1, L-1]: z̃ of the detectors
  torch::Tensor norms;        ///< [N-1, L]: of every layer's h
  torch::Tensor nats;         ///< [N-1]: -log density of the point that follows
};

/// What a model made of some lines.
struct InkEvaluation {
  hmrnn::Evaluation result;
  hmrnn::CostCounter cost;
  double log_likelihood = 0;   ///< of a line, nats
  std::vector<InkLook> lines;  ///< in the order of the lines, where it was asked for
};

/// Scores `lines`. `visit` is shown each window as well. Throws hmrnn::Error where the result is not finite.
InkEvaluation evaluate_ink(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines,
                           torch::Device device, uint64_t seed, const std::string& run, bool look,
                           const hmrnn::InkVisitor& visit = {});

/// What `eval --json` prints.
Json eval_json(const hmrnn::HandwritingCheckpoint& checkpoint, const ChosenLines& lines, const InkEvaluation& found);

/// Pen-ups, and the ends of words where they are known: of each point but a line's last, where evaluation stops.
std::vector<NamedEvents> ink_events(const ChosenLines& lines);
/// Which points fire, each layer's lines, of an evaluation that looked. Throws hmrnn::Error for a model without
/// detectors.
std::vector<hmrnn::MarkSequences> ink_boundaries(const InkEvaluation& found, const std::string& run);

/// What `align --json` prints, of an evaluation that looked.
Json align_json(const ChosenLines& lines, const InkEvaluation& found, const hmrnn::AgreementOptions& options,
                const std::string& run);
