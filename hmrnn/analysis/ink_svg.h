#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// A piece of a line that is drawn without lifting the pen, in one colour.
struct InkPath {
  std::vector<InkPoint> points;  ///< in units, y up; a single one is a dot
  std::string colour = "black";  ///< as SVG has it
};

/// Some paths with a caption above them (empty: none).
struct InkPanel {
  std::vector<InkPath> paths;  ///< drawn in this order
  std::string caption;         ///< a line of text, escaped where it is written
};

/// Options of ink_svg.
struct InkSvgOptions {
  double mm_per_unit = 0.03;  ///< a unit of the data in millimetres: a line of 6,000 units is 180 mm long
  double pen_mm = 0.4;        ///< width of the pen
  double margin_mm = 5;       ///< around all, and between panels
};

/// The strokes of a line, black.
HMRNN_API std::vector<InkPath> ink_strokes(const InkLine& line);

/// The strokes of a line, cut after every point at which `ends` is not 0 too; each segment (which may be of several
/// strokes) has another colour than the one before. Where the pen stays down, a piece begins at the point that ended
/// the last one, so that no gap shows. With no `ends` at all a segment is a stroke. Throws hmrnn::Error if `ends` is
/// neither empty nor as long as the line.
HMRNN_API std::vector<InkPath> ink_segments(const InkLine& line, const std::vector<uint8_t>& ends);

/// An SVG with one panel below the other: each path is one <path> of straight lines along the pen's centre, which a
/// plotter can follow; width, height and viewBox are in millimetres, y is turned to point down, and x and y have one
/// scale. Panels start at the left margin whatever their coordinates.
HMRNN_API std::string ink_svg(const std::vector<InkPanel>& panels, const InkSvgOptions& options = {});

}  // namespace hmrnn
