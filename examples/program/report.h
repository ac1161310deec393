#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "examples/program/figures.h"

// The page of `report`, one self-contained file: a skeleton, style and script (examples/program/page/), and the figures
// as JSON, which the script draws.

/// The training curves in RUN/metrics.jsonl, as lists: `train` and `eval` with steps, loss (nats), grad_norm, lr,
/// slope, updates (a list for each layer), per_second; `resumes`, the steps at which the run was resumed; `records`,
/// their number. More than 1,000 training records are averaged in groups of neighbours. Null if the file does not
/// exist, as for a single model file. Throws hmrnn::Error naming a line that is not a record.
Json training_json(const std::filesystem::path& run);

/// Sizes and options of a model: core, hidden_sizes, output_embedding_size, parameters, boundary, layer_norm, slope,
/// step.
template <typename Checkpoint>
Json model_json(const Checkpoint& checkpoint) {
  const auto& options = checkpoint.model->options;
  int64_t parameters = 0;
  for (const auto& parameter : checkpoint.model->parameters()) parameters += parameter.numel();
  return {{"core", hmrnn::to_string(options.core())},
          {"hidden_sizes", options.hidden_sizes()},
          {"output_embedding_size", options.output_embedding_size()},
          {"parameters", parameters},
          {"boundary", hmrnn::to_string(options.boundary())},
          {"layer_norm", options.layer_norm()},
          {"slope", checkpoint.model->slope()},
          {"step", checkpoint.step}};
}

/// Encodes values [T] in [0, most] with two hexadecimal digits each, 00 to ff; values outside are clamped.
std::string as_hex(const torch::Tensor& values, double most);
/// The same for each column of [T, L], where `most` is the maximum of the column.
Json columns_as_hex(const torch::Tensor& values, Json& most);

/// Certainty of the detectors from z̃ [T, L-1] and z [T, L-1], for each layer: `firing` (mean z̃ where it fires),
/// `silent` (mean z̃ where it does not) and `sure` (fraction of steps with z̃ at most ¼ or at least ¾).
Json certainty_json(const torch::Tensor& probability, const torch::Tensor& z);

/// The page. `data`: title, kind ("text" or "ink") and runs.
std::string report_page(const Json& data);

/// Short names for paths: the last part ("ptb128"), or as many parts as are needed to make the names differ.
std::vector<std::string> run_names(const std::vector<std::string>& runs);
