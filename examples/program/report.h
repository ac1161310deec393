#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "examples/program/figures.h"

// The page of `report`, one file that needs no other: a skeleton, style and script (examples/program/page/), and the
// figures as JSON, from which the script draws.

/// What RUN/metrics.jsonl says of the training, as lists: `train` and `eval` with steps, loss (nats), grad_norm, lr,
/// slope, updates (a list for each layer), per_second; `resumes`, the steps at which it was taken up again; `records`,
/// their number. More than 1,000 records of training are joined into as many means of neighbours. Null if there is no
/// such file, as beside a model that stands alone. Throws hmrnn::Error naming a line that is no record.
Json training_json(const std::filesystem::path& run);

/// Sizes and choices of a model: core, hidden_sizes, output_embedding_size, parameters, boundary, layer_norm, slope,
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

/// Values [T] in [0, most] as two hexadecimal digits each, 00 to ff; what lies beyond is cut off.
std::string as_hex(const torch::Tensor& values, double most);
/// The same for each column of [T, L], each with the greatest value of its column as `most`.
Json columns_as_hex(const torch::Tensor& values, Json& most);

/// How sure detectors were, of z̃ [T, L-1] and z [T, L-1], for each layer: `firing` (mean z̃ where it fired), `silent`
/// (where it did not) and `sure` (the share of steps at which z̃ is at most ¼ or at least ¾).
Json certainty_json(const torch::Tensor& probability, const torch::Tensor& z);

/// The page with this title. `data`: title, kind ("text" or "ink") and runs.
std::string report_page(const Json& data);

/// Makes the last parts of the paths different names to show: "ptb128", or as much of the path as it takes.
std::vector<std::string> run_names(const std::vector<std::string>& runs);
