#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// One point of the pen on the whiteboard: coordinates in the units of the IAM-OnDB files, x to the right, y UP (the
/// files have it down).
struct InkPoint {
  float x = 0;          ///< units, to the right
  float y = 0;          ///< units, up
  bool pen_up = false;  ///< the last point of its stroke
  /// the same in all three
  bool operator==(const InkPoint&) const = default;
};

/// One line of handwriting.
struct InkLine {
  std::string name;                 ///< "a01-000u-01": the file's name without its ending
  std::vector<InkPoint> points;     ///< at least one; the last one lifts the pen
  std::vector<uint8_t> word_end{};  ///< per point: 1 at the last point of a word; empty where words are not known
};

/// The form that a line was written on, "a01-000u" of "a01-000u-01": its name up to the last hyphen (all of it without
/// one).
HMRNN_API std::string form_of(std::string_view line_name);

}  // namespace hmrnn
