#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// A part of a line drawn without lifting the pen, in one colour.
struct InkPath {
  std::vector<InkPoint> points;  ///< units, y up; a single point is drawn as a dot
  std::string colour = "black";  ///< an SVG colour
};

/// Paths with an optional caption above them.
struct InkPanel {
  std::vector<InkPath> paths;  ///< drawn in this order
  std::string caption;         ///< one line of any text (see ink_svg), unescaped; empty: none
};

/// Options of ink_svg.
struct InkSvgOptions {
  double mm_per_unit = 0.03;  ///< millimetres per unit of the data: a line of 6,000 units is 180 mm long
  double pen_mm = 0.4;        ///< width of the pen
  double margin_mm = 5;       ///< around and between the panels
};

/// The strokes of a line, black.
HMRNN_API std::vector<InkPath> ink_strokes(const InkLine& line);

/// The strokes of a line, also cut after every point at which `ends` is non-zero. Each segment, which may contain
/// several strokes, has another colour than the previous one. If the pen stays down at a cut, the next path begins at
/// the last point of the previous one, so that there is no gap. If `ends` is empty, each stroke is a segment. Throws
/// hmrnn::Error if `ends` is neither empty nor as long as the line.
HMRNN_API std::vector<InkPath> ink_segments(const InkLine& line, const std::vector<uint8_t>& ends);

/// An SVG of the panels, one below the other. Each path is one <path> of straight lines along the centre of the pen,
/// which a plotter can follow. width, height and viewBox are in millimetres, y points down, x and y have the same
/// scale. Panels start at the left margin whatever their coordinates. In captions, control characters and what is not
/// UTF-8 become U+FFFD, since XML cannot hold them.
HMRNN_API std::string ink_svg(const std::vector<InkPanel>& panels, const InkSvgOptions& options = {});

}  // namespace hmrnn
