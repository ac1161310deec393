#include "hmrnn/models/ink_normalisation.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "hmrnn/error.h"

namespace hmrnn {

InkCoordinates parse_ink_coordinates(const std::string& name) {
  if (name == "offsets") return InkCoordinates::Offsets;
  if (name == "absolute") return InkCoordinates::Absolute;
  throw Error("coordinates '" + name + "' is not one of offsets, absolute");
}

std::string to_string(InkCoordinates coordinates) {
  return coordinates == InkCoordinates::Offsets ? "offsets" : "absolute";
}

std::string describe_normalisation(const InkNormalisation& normalisation) {
  const nlohmann::ordered_json json = {{"coordinates", to_string(normalisation.coordinates)},
                                       {"mean", normalisation.mean},
                                       {"deviation", normalisation.deviation}};
  return json.dump();
}

InkNormalisation parse_normalisation(const std::string& text) {
  InkNormalisation out;
  try {
    const auto json = nlohmann::json::parse(text);
    out.coordinates = parse_ink_coordinates(json.at("coordinates").get<std::string>());
    out.mean = json.at("mean").get<std::array<double, 2>>();
    out.deviation = json.at("deviation").get<std::array<double, 2>>();
  } catch (const nlohmann::json::exception&) {
    throw Error("normalisation: malformed");
  }
  for (size_t k = 0; k < 2; ++k) {
    const auto mean = static_cast<float>(out.mean[k]), deviation = static_cast<float>(out.deviation[k]);
    if (!std::isfinite(mean) || !std::isfinite(deviation) || deviation <= 0) {
      throw Error("normalisation: means must be finite, deviations finite and above 0, as float32");
    }
  }
  return out;
}

}  // namespace hmrnn
