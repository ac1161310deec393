#pragma once

#include <string>

#include "examples/program/arguments.h"
#include "hmrnn/models/core.h"

/// The core and the sizes of a model, as options of `train`. `ModelOptions`: CharLMOptions or HandwritingOptions.
template <typename ModelOptions>
OptionMap sizes_of(const ModelOptions& options) {
  std::string units;
  for (const auto d : options.hidden_sizes()) units += (units.empty() ? "" : ",") + std::to_string(d);
  return {{"units", units},
          {"layers", std::to_string(options.hidden_sizes().size())},
          {"output-embedding", std::to_string(options.output_embedding_size())},
          {"core", hmrnn::to_string(options.core())},
          {"layer-norm", options.layer_norm() ? "on" : "off"}};
}

/// Adds the `sizes` of the model at `path` to `map`, the options given beside --init-from. Throws hmrnn::Error if the
/// map contradicts them.
void take_sizes_over(const OptionMap& sizes, const std::string& path, OptionMap& map);
