#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "chosen_text.h"
#include "examples/program/figures.h"
#include "hmrnn/analysis/cost.h"
#include "hmrnn/train/training_task.h"

/// What a model made of a text of N symbols.
struct TextEvaluation {
  hmrnn::Evaluation result;
  hmrnn::CostCounter cost;
  // Of one stream, where it was asked for: at each symbol but the last. On the CPU, float32.
  torch::Tensor z;            ///< [N-1, L-1] ([N-1, 0] for the control)
  torch::Tensor probability;  ///< [N-1, L-1]: z̃ of the detectors
  torch::Tensor norms;        ///< [N-1, L]: of every layer's h
  torch::Tensor bits;         ///< [N-1]: -log2 of the probability of the symbol that follows
};

/// Scores `text`, cut into `streams`, each of which starts cold. `look`: the tensors too (one stream). Throws
/// hmrnn::Error for a text of fewer than two symbols, and where the result is not finite.
TextEvaluation evaluate_text(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, int64_t streams,
                             torch::Device device, uint64_t seed, const std::string& run, bool look);

/// What `eval --json` prints: split, bpc (bpb where symbols are bytes), bits, characters (bytes), updates, cost.
Json eval_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found);

/// What the boundaries are compared with: spaces, words, or what a file says (--against); by default spaces and words,
/// on the synthetic corpus the true syllables, words and phrases. Of each symbol but the last, where evaluation stops.
std::vector<NamedEvents> choose_events(const Arguments& arguments, const ChosenText& text);

/// What `align --json` prints, of an evaluation that looked. Throws hmrnn::Error for a model without detectors.
Json align_json(const hmrnn::CharLMCheckpoint& checkpoint, const ChosenText& text, const TextEvaluation& found,
                const std::vector<NamedEvents>& events, const hmrnn::AgreementOptions& options, const std::string& run);
