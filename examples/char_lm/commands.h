#pragma once

#include <torch/types.h>

#include <string>

#include "examples/program/arguments.h"
#include "examples/program/machine.h"
#include "examples/program/model_file.h"
#include "hmrnn/models/char_lm_checkpoint.h"

// The commands of char_lm (examples/program/program.h).
int train_command(int argc, char** argv);
int eval_command(int argc, char** argv);
int sample_command(int argc, char** argv);
int segment_command(int argc, char** argv);
int align_command(int argc, char** argv);
int report_command(int argc, char** argv);
int export_command(int argc, char** argv);

/// Loads the model of RUN (best, else last) to `device`.
hmrnn::CharLMCheckpoint load_run(const Arguments& arguments, torch::Device device);

/// The boundaries [T, L-1] of a model with a given segmentation for the symbols `index` [T], which start at `position`
/// of the text; undefined for a model with detectors.
torch::Tensor given_boundaries(const hmrnn::CharLMCheckpoint& checkpoint, const torch::Tensor& index, int64_t position);
