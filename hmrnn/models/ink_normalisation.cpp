#include "hmrnn/models/ink_normalisation.h"

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

}  // namespace hmrnn
