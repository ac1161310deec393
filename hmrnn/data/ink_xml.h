#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Coordinates beyond ± this many units count as damage; those of IAM-OnDB are within ± 10,000.
constexpr double kInkCoordinateLimit = 100'000;

/// Of a line with fewer points it cannot be told by itself whether one is a stray: 5% of fewer points is less than one.
constexpr size_t kFewestPointsOfStrays = 20;

/// How far outside of a line a point counts as a stray, in extents of the line.
constexpr float kStrayReach = 1.5F;

/// Parses an IAM-OnDB lineStrokes file: WhiteboardCaptureSession / StrokeSet / Stroke / Point with the attributes x and
/// y. `name` becomes the line's name; `where` names the file in errors. Throws hmrnn::Error "WHERE: what is wrong" for
/// a file that is not XML or has another root, for a StrokeSet that is missing or empty, a stroke without points, a
/// coordinate that is missing, not a number, not finite or beyond kInkCoordinateLimit, and a sensor corner other than
/// top_left (the corner defines the direction of the axes). Nothing is silently skipped: a second root or StrokeSet,
/// unknown elements among strokes and points, several lines in all transcriptions together (a page) and a point far
/// from the line are errors too. (Far: outside the range of the middle 90% of the points by more than kStrayReach times
/// the extent of that range; lines with fewer than kFewestPointsOfStrays points are not checked.) A library built
/// without pugixml always throws.
HMRNN_API InkLine parse_ink_xml(std::string_view bytes, const std::string& name, const std::string& where);

/// The same from a file. Throws hmrnn::Error if it cannot be read.
HMRNN_API InkLine read_ink_file(const std::string& path);

/// Formats `line` as such a file: ISO-8859-1, points 10 ms apart, strokes 0.2 s apart (models ignore times),
/// coordinates with up to 2 decimals.
HMRNN_API std::string format_ink_xml(const InkLine& line);

}  // namespace hmrnn
