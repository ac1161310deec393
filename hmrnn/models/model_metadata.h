#pragma once

// The common part of the metadata of all models' checkpoints. Internal to hmrnn/models: libhmrnn does not export it.

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

/// Checks kind ("char_lm", in errors `description`: "a character model") and format of the JSON object under the
/// metadata key `hmrnn`, passes it to `read`, and returns the slope. Throws hmrnn::Error naming `where`, also if `read`
/// throws hmrnn::Error or nlohmann's exceptions.
double read_model_metadata(const SafeTensors& file, const std::string& where, const std::string& kind,
                           const std::string& description, const std::function<void(const Json&)>& read);

/// Throws hmrnn::Error unless tensor `name` is a matrix whose dimension `dim` has the size `size`, which the metadata
/// give as `what`. A model is allocated before its tensors are compared with the file's, so sizes of the metadata are
/// first compared with the file: an absurd one must not reach the allocation.
void expect_size(const SafeTensors& file, const std::string& where, const std::string& name, int64_t dim, int64_t size,
                 const std::string& what);

/// The same for both dimensions of a layer's recurrent matrix: four gates, and a boundary detector or none.
void expect_layer_size(const SafeTensors& file, const std::string& where, const std::string& name, int64_t size);

/// Throws hmrnn::Error naming `where` and a tensor with a value that is not finite.
void require_finite(const SafeTensors& file, const std::string& where);

/// A model with the file's tensors: float32 (bfloat16 and float16 are converted), slope set, in evaluation mode.
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
/// not have: it may be an option of a newer version that changes the model. Keys that the Trainer adds are accepted.
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

/// The dropout probability `name`; 0 in checkpoints from before this option existed. Throws hmrnn::Error.
inline double read_dropout(const Json& json, const char* name) {
  const auto p = json.value(name, 0.0);
  if (!(p >= 0 && p < 1)) throw Error(std::string(name) + " is not in [0, 1)");
  return p;
}

/// Reads the options that describe_model writes. Throws hmrnn::Error or nlohmann's exceptions.
template <typename Options>
void read_model_options(const Json& json, Options& options) {
  options.core(parse_core(json.at("core").get<std::string>()));
  options.hidden_sizes(json.at("hidden_sizes").get<std::vector<int64_t>>());
  options.output_embedding_size(json.at("output_embedding_size").get<int64_t>());
  options.layer_norm(json.at("layer_norm").get<bool>());
  options.boundary(parse_boundary_mode(json.at("boundary").get<std::string>()));
  options.forget_bias(json.at("forget_bias").get<double>());
  options.boundary_bias(json.at("boundary_bias").get<double>());
  // Checkpoints from before these options existed: their models were initialised as the defaults do.
  if (json.contains("init")) options.init(parse_initialisation(json["init"].get<std::string>()));
  options.norm_gain(json.value("norm_gain", options.norm_gain()));
  options.dropout(json.at("dropout").get<double>());
  options.recurrent_dropout(read_dropout(json, "recurrent_dropout"));
  options.locked_dropout(read_dropout(json, "locked_dropout"));
  options.weight_drop(read_dropout(json, "weight_drop"));
  if (options.hidden_sizes().empty()) throw Error("hidden_sizes is empty");
  if (!(options.dropout() >= 0 && options.dropout() < 1)) throw Error("dropout is not in [0, 1)");
}

/// expect_layer_size for all layers.
template <typename Options>
void expect_layer_sizes(const Options& options, const SafeTensors& file, const std::string& where) {
  const std::string core = to_string(options.core());
  const auto& sizes = options.hidden_sizes();
  for (size_t l = 0; l < sizes.size(); ++l) {
    expect_layer_size(file, where, core + ".layers." + std::to_string(l) + ".recurrent", sizes[l]);
  }
}

}  // namespace hmrnn
