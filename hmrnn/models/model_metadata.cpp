#include "hmrnn/models/model_metadata.h"

#include <cmath>
#include <set>

#include "hmrnn/io/json_text.h"

namespace hmrnn {

namespace {

void require_kind(const Json& json, const std::string& kind, const std::string& description) {
  if (json.at("kind") != kind) throw Error("this is not " + description + " but: " + excerpt(json.at("kind")));
  if (json.at("format") != 1) throw Error("unknown format " + excerpt(json.at("format")));
}

double read_slope(const Json& json) {
  const auto slope = json.at("slope").get<double>();
  const auto used = static_cast<float>(slope);
  if (!(std::isfinite(used) && used > 0)) throw Error("slope is not a finite float32 above 0");
  return slope;
}

}  // namespace

double read_model_metadata(const SafeTensors& file, const std::string& where, const std::string& kind,
                           const std::string& description, const std::function<void(const Json&)>& read) {
  const auto found = file.metadata.find("hmrnn");
  if (found == file.metadata.end())
    throw Error(where + ": no metadata under the key hmrnn, so no model of this project");
  const auto json = parse_json<Json>(found->second);
  if (!json.is_object()) throw Error(where + ": the metadata under the key hmrnn are not a JSON object");
  try {
    require_kind(json, kind, description);
    read(json);
    return read_slope(json);
  } catch (const nlohmann::json::exception& error) {
    throw Error(where + ": malformed metadata: " + error.what());
  } catch (const Error& error) {
    throw Error(where + ": " + error.what());
  }
}

void require_known_keys(const Json& json, const Json& written) {
  static const std::set<std::string> of_training = {"step", "epoch", "validation_loss"};
  for (const auto& [key, value] : json.items()) {
    if (!written.contains(key) && !of_training.contains(key)) {
      throw Error("the metadata have the entry " + excerpt(Json(key)) + ", which this version does not know");
    }
  }
}

void expect_size(const SafeTensors& file, const std::string& where, const std::string& name, int64_t dim, int64_t size,
                 const std::string& what) {
  const auto tensor = file.find(name);
  if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
  if (tensor.dim() != 2 || tensor.size(dim) != size) {
    throw Error(where + ": tensor " + name + " has shape " + c10::str(tensor.sizes()) + ", which does not fit the " +
                what + " " + std::to_string(size) + " of its metadata");
  }
}

void expect_layer_size(const SafeTensors& file, const std::string& where, const std::string& name, int64_t size) {
  expect_size(file, where, name, 1, size, "layer size");
  const auto rows = file.find(name).size(0);
  if (rows / 4 != size || rows % 4 > 1) {
    throw Error(where + ": tensor " + name + " has " + std::to_string(rows) +
                " rows, which do not fit the layer size " + std::to_string(size) + " of its metadata");
  }
}

void require_finite(const SafeTensors& file, const std::string& where) {
  for (const auto& [name, tensor] : file.tensors) {
    if (!torch::isfinite(tensor).all().item<bool>())
      throw Error(where + ": tensor " + name + " has values that are not finite");
  }
}

}  // namespace hmrnn
