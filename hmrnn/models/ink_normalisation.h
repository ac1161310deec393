#pragma once

#include <array>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// What a handwriting model reads as x and y: offsets from point to point, or absolute coordinates.
enum class InkCoordinates { Offsets, Absolute };

/// "offsets" or "absolute"; throws hmrnn::Error for anything else.
HMRNN_API InkCoordinates parse_ink_coordinates(const std::string& name);
/// The name that parse_ink_coordinates accepts.
HMRNN_API std::string to_string(InkCoordinates coordinates);

/// Standardisation of x and of y: (value - mean) / deviation.
struct InkNormalisation {
  InkCoordinates coordinates = InkCoordinates::Offsets;  ///< what is standardised
  std::array<double, 2> mean{};                          ///< of x and y, units
  std::array<double, 2> deviation = {1, 1};              ///< standard deviation, units; above 0
};

/// The normalisation as the text of a JSON object: {"coordinates", "mean": [x, y], "deviation": [x, y]}, in units.
HMRNN_API std::string describe_normalisation(const InkNormalisation& normalisation);
/// The normalisation that describe_normalisation describes. Throws hmrnn::Error for anything else, for values that are
/// not finite and for deviations that are not above 0.
HMRNN_API InkNormalisation parse_normalisation(const std::string& json);

}  // namespace hmrnn
