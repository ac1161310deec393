#pragma once

// What the metadata of all models' checkpoints share. Internal to hmrnn/models: not part of what libhmrnn shows.

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/io/checkpoint.h"
#include "hmrnn/io/safetensors.h"
#include "hmrnn/models/core.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "hmrnn/ops/boundary.h"

namespace hmrnn {

using Json = nlohmann::ordered_json;

/// Gives `read` the JSON object under the metadata key `hmrnn`, of a model of this kind ("char_lm": `description` "a
/// character model") and of our format, and returns the slope. Throws hmrnn::Error naming `where`, also for what `read`
/// throws: hmrnn::Error or nlohmann's exceptions.
double read_model_metadata(const SafeTensors& file, const std::string& where, const std::string& kind,
                           const std::string& description, const std::function<void(const Json&)>& read);

/// Throws hmrnn::Error unless tensor `name` is a matrix whose dimension `dim` has `size`, which `what` of the metadata
/// says. A model is built before its tensors are compared with the file's, so sizes that the file does not bear out
/// must not reach an allocation.
void expect_size(const SafeTensors& file, const std::string& where, const std::string& name, int64_t dim, int64_t size,
                 const std::string& what);

/// Throws hmrnn::Error naming `where` and a tensor with a value that is not finite.
void require_finite(const SafeTensors& file, const std::string& where);

/// A model of the file's tensors, as it is used: float32 (from bfloat16 or float16 too), slope set, in evaluation mode.
/// Throws hmrnn::Error naming `where` and a tensor that is missing, left over, of another shape or dtype, or has a
/// value that is not finite.
template <typename Model, typename Options>
Model load_model(const Options& options, double slope, SafeTensors file, const std::string& where) {
  Model model(options);
  convert_floating_point(file, torch::kFloat32);
  unpack_module(*model, file, where, /*buffers=*/false);
  require_finite(file, where);
  model->set_slope(slope);
  model->eval();
  return model;
}

/// Throws hmrnn::Error for a key of `json` that `written`, the same model's metadata as this version writes them, does
/// not have: a newer version's option, without which the model would be another one. What the Trainer adds is let pass.
void require_known_keys(const Json& json, const Json& written);

/// Format and kind, and the options that every model has.
template <typename Options>
Json describe_model(const std::string& kind, const Options& options, double slope) {
  Json json = {{"format", 1}, {"kind", kind}};
  json["core"] = to_string(options.core());
  json["hidden_sizes"] = options.hidden_sizes();
  json["output_embedding_size"] = options.output_embedding_size();
  json["layer_norm"] = options.layer_norm();
  json["boundary"] = to_string(options.boundary());
  json["slope"] = slope;
  json["forget_bias"] = options.forget_bias();
  json["boundary_bias"] = options.boundary_bias();
  json["init"] = to_string(options.init());
  json["norm_gain"] = options.norm_gain();
  json["dropout"] = options.dropout();
  json["recurrent_dropout"] = options.recurrent_dropout();
  json["locked_dropout"] = options.locked_dropout();
  json["weight_drop"] = options.weight_drop();
  return json;
}

/// A probability of dropping something, 0 in checkpoints from before there was one of this name. Throws hmrnn::Error.
inline double read_dropout(const Json& json, const char* name) {
  const auto p = json.value(name, 0.0);
  if (!(p >= 0 && p < 1)) throw Error(std::string(name) + " is not in [0, 1)");
  return p;
}

/// The way back. Throws hmrnn::Error or nlohmann's exceptions.
template <typename Options>
void read_model_options(const Json& json, Options& options) {
  options.core(parse_core(json.at("core").get<std::string>()));
  options.hidden_sizes(json.at("hidden_sizes").get<std::vector<int64_t>>());
  options.output_embedding_size(json.at("output_embedding_size").get<int64_t>());
  options.layer_norm(json.at("layer_norm").get<bool>());
  options.boundary(parse_boundary_mode(json.at("boundary").get<std::string>()));
  options.forget_bias(json.at("forget_bias").get<double>());
  options.boundary_bias(json.at("boundary_bias").get<double>());
  // Models from before these options were begun with their defaults.
  if (json.contains("init")) options.init(parse_initialisation(json["init"].get<std::string>()));
  options.norm_gain(json.value("norm_gain", options.norm_gain()));
  options.dropout(json.at("dropout").get<double>());
  options.recurrent_dropout(read_dropout(json, "recurrent_dropout"));
  options.locked_dropout(read_dropout(json, "locked_dropout"));
  options.weight_drop(read_dropout(json, "weight_drop"));
  if (options.hidden_sizes().empty()) throw Error("hidden_sizes is empty");
  if (!(options.dropout() >= 0 && options.dropout() < 1)) throw Error("dropout is not in [0, 1)");
}

/// expect_size for the recurrent layers.
template <typename Options>
void expect_layer_sizes(const Options& options, const SafeTensors& file, const std::string& where) {
  const std::string core = to_string(options.core());
  const auto& sizes = options.hidden_sizes();
  for (size_t l = 0; l < sizes.size(); ++l) {
    expect_size(file, where, core + ".layers." + std::to_string(l) + ".recurrent", 1, sizes[l], "layer size");
  }
}

}  // namespace hmrnn
