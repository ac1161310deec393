#pragma once

#include <ostream>

#include "hmrnn/data/ink_line.h"

namespace hmrnn {

/// For messages of Catch2. (c10's operator for vectors needs one for their elements.)
inline std::ostream& operator<<(std::ostream& out, const InkPoint& point) {
  return out << '(' << point.x << ", " << point.y << (point.pen_up ? ", pen up)" : ")");
}

}  // namespace hmrnn
