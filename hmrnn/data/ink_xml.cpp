#include "hmrnn/data/ink_xml.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <vector>

#include "hmrnn/error.h"
#include "hmrnn/io/whole_file.h"

#ifndef HMRNN_WITHOUT_PUGIXML
#include <pugixml.hpp>
#endif

namespace hmrnn {

std::string form_of(std::string_view line_name) { return std::string(line_name.substr(0, line_name.rfind('-'))); }

namespace {

std::string number(double value) {
  auto text = fmt::format("{:.2f}", value);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text == "-0" ? "0" : text;
}

}  // namespace

#ifndef HMRNN_WITHOUT_PUGIXML

namespace {

/// Text of the file for an error message: cut, since it may be as long as the file, and without control characters.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, 40));
  std::replace_if(
      out.begin(), out.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }, '?');
  return out;
}

/// The attribute as a number within ± kInkCoordinateLimit.
float coordinate(const pugi::xml_node& point, const char* axis, size_t stroke, size_t index, const std::string& where) {
  const auto fail = [&](const std::string& what) -> Error {
    return Error(fmt::format("{}: point {} of stroke {}: {}", where, index + 1, stroke + 1, what));
  };
  const auto attribute = point.attribute(axis);
  if (!attribute) throw fail(fmt::format("no attribute {}", axis));
  const std::string_view text = attribute.value();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw fail(fmt::format("{}=\"{}\" is not a number", axis, shown(text)));
  }
  if (!(std::abs(value) <= kInkCoordinateLimit)) {
    throw fail(fmt::format("{}=\"{}\" is not a coordinate within {} of 0", axis, shown(text), kInkCoordinateLimit));
  }
  return static_cast<float>(value);
}

/// Number of lines in `text` that are not blank.
size_t count_written_lines(std::string_view text) {
  size_t written = 0;
  for (size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    if (text.substr(begin, end - begin).find_first_not_of(" \t\r") != std::string_view::npos) ++written;
    begin = end + 1;
  }
  return written;
}

/// Throws hmrnn::Error if the file holds more than one line of handwriting: no part of it may be silently ignored.
void require_one_line(const pugi::xml_document& document, const pugi::xml_node& session, const std::string& where) {
  const auto count = [](const pugi::xml_node& node, const char* name) {
    const auto children = node.children(name);
    return static_cast<size_t>(std::distance(children.begin(), children.end()));
  };
  if (std::count_if(document.begin(), document.end(),
                    [](const pugi::xml_node& node) { return node.type() == pugi::node_element; }) != 1) {
    throw Error(where + ": more than one root");
  }
  if (const auto sets = count(session, "StrokeSet"); sets > 1) {
    throw Error(fmt::format("{}: {} StrokeSets, where a line has one", where, sets));
  }
  // Both forms of a transcription, each over all elements: the lines of a page may be in one or in several.
  size_t listed = 0, written = 0;
  for (const auto& transcription : session.children("Transcription")) {
    listed += count(transcription, "TextLine");
    for (const auto& element : transcription.children("Text")) {
      std::string text;
      for (const auto& part : element) text += part.value();  // several where a comment divides it
      written += count_written_lines(text);
    }
  }
  if (const auto lines = std::max(listed, written); lines > 1) {
    throw Error(fmt::format("{}: its transcription has {} lines, so this is a page and no line", where, lines));
  }
  for (const auto& child : session.child("StrokeSet")) {
    if (child.type() == pugi::node_element && std::strcmp(child.name(), "Stroke") != 0) {
      throw Error(fmt::format("{}: the StrokeSet has a {}, only Stroke is known", where, shown(child.name())));
    }
    for (const auto& point : child) {
      if (point.type() == pugi::node_element && std::strcmp(point.name(), "Point") != 0) {
        throw Error(fmt::format("{}: a Stroke has a {}, only Point is known", where, shown(point.name())));
      }
    }
  }
}

/// Throws hmrnn::Error for a point far from the line, which would determine the scale of all others. In the 12,195
/// lines of IAM-OnDB no point is farther away than half of the limit.
void refuse_strays(const InkLine& line, const std::string& where) {
  if (line.points.size() < kFewestPointsOfStrays) return;
  std::vector<float> x, y;
  for (const auto& p : line.points) {
    x.push_back(p.x);
    y.push_back(p.y);
  }
  std::sort(x.begin(), x.end());
  std::sort(y.begin(), y.end());
  const size_t low = x.size() / 20, high = x.size() - 1 - low;
  // How far a point may be outside the range of the middle 90% of the points.
  const float reach = kStrayReach * std::max({x[high] - x[low], y[high] - y[low], 1.0F});
  size_t stroke = 0, index = 0;
  for (const auto& p : line.points) {
    const bool strays = p.x < x[low] - reach || p.x > x[high] + reach || p.y < y[low] - reach || p.y > y[high] + reach;
    if (strays) {
      throw Error(
          fmt::format("{}: point {} of stroke {}: ({}, {}) is far from the line, most of which lies within "
                      "({}, {}) and ({}, {})",
                      where, index + 1, stroke + 1, p.x, -p.y, x[low], -y[high], x[high], -y[low]));
    }
    index = p.pen_up ? 0 : index + 1;
    stroke += p.pen_up ? 1 : 0;
  }
}

}  // namespace

InkLine parse_ink_xml(std::string_view bytes, const std::string& name, const std::string& where) {
  pugi::xml_document document;
  const auto result = document.load_buffer(bytes.data(), bytes.size());
  if (!result) {
    throw Error(fmt::format("{}: not well-formed XML: {} at byte {}", where, result.description(), result.offset));
  }
  const auto session = document.document_element();
  if (std::strcmp(session.name(), "WhiteboardCaptureSession") != 0) {
    throw Error(fmt::format("{}: the root is {}, not WhiteboardCaptureSession", where, shown(session.name())));
  }
  if (const auto corner = session.child("WhiteboardDescription").child("SensorLocation").attribute("corner");
      corner && std::strcmp(corner.value(), "top_left") != 0) {
    throw Error(fmt::format("{}: the sensor's corner is {}, only top_left is known", where, shown(corner.value())));
  }
  require_one_line(document, session, where);
  const auto strokes = session.child("StrokeSet");
  if (!strokes) throw Error(where + ": no StrokeSet");

  InkLine line;
  line.name = name;
  size_t stroke_count = 0;
  for (const auto& stroke : strokes.children("Stroke")) {
    size_t count = 0;
    for (const auto& point : stroke.children("Point")) {
      const float x = coordinate(point, "x", stroke_count, count, where);
      const float y = coordinate(point, "y", stroke_count, count, where);
      line.points.push_back({x, 0 - y, false});  // 0 - y instead of -y: -0 would differ from 0 in the hash
      ++count;
    }
    if (count == 0) throw Error(fmt::format("{}: stroke {} has no points", where, stroke_count + 1));
    line.points.back().pen_up = true;
    ++stroke_count;
  }
  if (stroke_count == 0) throw Error(where + ": the StrokeSet is empty");
  refuse_strays(line, where);
  return line;
}

#else

InkLine parse_ink_xml(std::string_view, const std::string&, const std::string& where) {
  throw Error(where + ": this build is without pugixml, which reads handwriting");
}

#endif

InkLine read_ink_file(const std::string& path) {
  return parse_ink_xml(read_whole_file(path), std::filesystem::path(path).stem().string(), path);
}

std::string format_ink_xml(const InkLine& line) {
  float left = 0, right = 0, top = 0, bottom = 0;
  bool first = true;
  for (const auto& p : line.points) {
    left = first ? p.x : std::min(left, p.x);
    right = first ? p.x : std::max(right, p.x);
    top = first ? p.y : std::max(top, p.y);
    bottom = first ? p.y : std::min(bottom, p.y);
    first = false;
  }
  std::string out = fmt::format(
      "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<WhiteboardCaptureSession>\n  <WhiteboardDescription>\n"
      "    <SensorLocation corner=\"top_left\"/>\n"
      "    <DiagonallyOppositeCoords x=\"{1}\" y=\"{3}\"/>\n    <VerticallyOppositeCoords x=\"{0}\" y=\"{3}\"/>\n"
      "    <HorizontallyOppositeCoords x=\"{1}\" y=\"{2}\"/>\n  </WhiteboardDescription>\n  <StrokeSet>\n",
      number(left), number(right), number(-top), number(-bottom));
  constexpr double kStep = 0.01, kPause = 0.2;  // seconds between points, between strokes
  double time = 0;
  for (size_t begin = 0; begin < line.points.size();) {
    size_t end = begin;
    while (end + 1 < line.points.size() && !line.points[end].pen_up) ++end;
    ++end;
    out += fmt::format("    <Stroke colour=\"black\" start_time=\"{:.2f}\" end_time=\"{:.2f}\">\n", time,
                       time + kStep * static_cast<double>(end - begin - 1));
    for (size_t i = begin; i < end; ++i) {
      out += fmt::format("      <Point x=\"{}\" y=\"{}\" time=\"{:.2f}\"/>\n", number(line.points[i].x),
                         number(-line.points[i].y), time + kStep * static_cast<double>(i - begin));
    }
    out += "    </Stroke>\n";
    time += kStep * static_cast<double>(end - begin - 1) + kPause;
    begin = end;
  }
  return out + "  </StrokeSet>\n</WhiteboardCaptureSession>\n";
}

}  // namespace hmrnn
