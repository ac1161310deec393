#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// One point of the pen on the whiteboard, in the units of the IAM-OnDB files: x to the right, y UP (the files have y
/// down).
struct InkPoint {
  float x = 0;          ///< units, to the right
  float y = 0;          ///< units, up
  bool pen_up = false;  ///< the last point of its stroke
  /// Equal coordinates and pen.
  bool operator==(const InkPoint&) const = default;
};

/// One line of handwriting.
struct InkLine {
  std::string name;                 ///< "a01-000u-01": the file's name without its extension
  std::vector<InkPoint> points;     ///< at least one; the last point lifts the pen
  std::vector<uint8_t> word_end{};  ///< per point: 1 at the last point of a word; empty if words are not known
};

/// Name of the form that a line was written on: its name up to the last hyphen ("a01-000u" of "a01-000u-01"), or all of
/// it if it has no hyphen.
HMRNN_API std::string form_of(std::string_view line_name);

}  // namespace hmrnn
