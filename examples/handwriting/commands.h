#pragma once

#include <torch/types.h>

#include <string>

#include "examples/program/arguments.h"
#include "examples/program/machine.h"
#include "examples/program/model_file.h"
#include "hmrnn/data/ink_batches.h"
#include "hmrnn/models/handwriting_checkpoint.h"

// The commands of handwriting (examples/program/program.h).
int train_command(int argc, char** argv);
int eval_command(int argc, char** argv);
int draw_command(int argc, char** argv);
int align_command(int argc, char** argv);
int synthesize_command(int argc, char** argv);
int report_command(int argc, char** argv);
int export_command(int argc, char** argv);

/// Loads the model of RUN (best, else last) to `device`.
hmrnn::HandwritingCheckpoint load_run(const Arguments& arguments, torch::Device device);

/// The lines for a command: one part of a corpus.
struct ChosenLines {
  hmrnn::InkCorpus corpus;
  std::string split;
  std::vector<size_t> lines;

  /// Batches for evaluation, in order of length, without shuffling.
  hmrnn::InkBatches batches(const hmrnn::InkNormalisation& normalisation) const;
};
/// --split, --corpus and --data-dir.
std::vector<OptionSpec> corpus_options();
/// The corpus that the model was trained on, or the one that the arguments name.
ChosenLines choose_lines(const Arguments& arguments, const hmrnn::HandwritingCheckpoint& checkpoint);
