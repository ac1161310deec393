#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "chosen_text.h"
#include "examples/program/figures.h"
#include "hmrnn/analysis/cost.h"
#include "hmrnn/train/training_task.h"

/// Result of evaluating a model on a text of N symbols.
struct TextEvaluation {
  hmrnn::Evaluation result;
  hmrnn::CostCounter cost;
  // At each symbol except the last, for one stream and only if requested. CPU, float32.
  torch::Tensor z;            ///< [N-1, L-1] ([N-1, 0] for the LSTM)
  torch::Tensor probability;  ///< [N-1, L-1]: z̃ of the detectors
  torch::Tensor norms;        ///< [N-1, L]: norm of each layer's h
  torch::Tensor bits;         ///< [N-1]: -log2 of the probability of the next symbol
};

/// Scores `text`, cut into `streams` streams that start from zeros. `signals`: computes the tensors too (one stream
/// only). Throws hmrnn::Error for a text of fewer than two symbols, and if the result is not finite.
TextEvaluation evaluate_text(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, int64_t streams,
                             torch::Device device, uint64_t seed, const std::string& run, bool signals);

/// The output of `eval --json`: split, bpc (bpb if symbols are bytes), bits, characters (bytes), updates, cost.
Json eval_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found);

/// The events to compare boundaries with: spaces, words, or those of a file (--against); by default spaces and words,
/// or on the synthetic corpus the true syllables, words and phrases. For each symbol except the last, at which
/// evaluation ends.
std::vector<NamedEvents> choose_events(const Arguments& arguments, const ChosenText& text);

/// The output of `align --json` for an evaluation with `signals`. Throws hmrnn::Error for a model without detectors.
Json align_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found,
                const std::vector<NamedEvents>& events, const hmrnn::AgreementOptions& options, const std::string& run);
