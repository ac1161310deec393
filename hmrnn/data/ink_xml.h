#pragma once

#include <string>
#include <string_view>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Coordinates beyond ± this many units are taken for damage; IAM-OnDB stays within ± 10,000.
constexpr double kInkCoordinateLimit = 100'000;

/// Reads one IAM-OnDB lineStrokes file: WhiteboardCaptureSession / StrokeSet / Stroke / Point with the attributes x and
/// y. `name` is the line's; `where` names the file in errors. Throws hmrnn::Error "WHERE: what is wrong": not XML,
/// another root, no StrokeSet or an empty one, a stroke without points, a coordinate that is missing, no number, not
/// finite or beyond kInkCoordinateLimit, a sensor corner other than top_left (the corner says which way the axes run);
/// also where the library was built without pugixml.
/// and for what would be left out or spoil the rest without a word: a second root or StrokeSet, elements that are not
/// known among strokes and points, a transcription of several lines (a page), a point far from the line (farther from
/// where 9 in 10 points lie than 1.5 times as wide as these spread).
HMRNN_API InkLine parse_ink_xml(std::string_view bytes, const std::string& name, const std::string& where);

/// The same, from a file. Throws hmrnn::Error if it cannot be read.
HMRNN_API InkLine read_ink_file(const std::string& path);

/// `line` in that format, ISO-8859-1, its points 10 ms apart and its strokes 0.2 s (the model does not look at times).
/// Coordinates are written with up to 2 decimals.
HMRNN_API std::string format_ink_xml(const InkLine& line);

}  // namespace hmrnn
