#pragma once

#include <ostream>

#include "hmrnn/data/ink_line.h"

namespace hmrnn {

/// For messages of Catch2. (c10 has an operator for vectors that needs one for what they contain.)
inline std::ostream& operator<<(std::ostream& out, const InkPoint& point) {
  return out << '(' << point.x << ", " << point.y << (point.pen_up ? ", pen up)" : ")");
}

}  // namespace hmrnn
