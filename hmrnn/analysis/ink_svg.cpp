#include "hmrnn/analysis/ink_svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "hmrnn/error.h"
#include "hmrnn/io/xml_text.h"

namespace hmrnn {

namespace {

constexpr std::array<const char*, 6> kColours = {"#1b6ca8", "#d1495b", "#2e933c", "#e08e1b", "#7d4fa8", "#2b2b2b"};
constexpr double kCaption = 4;  // height of a caption, mm

struct Box {
  double left = 0, right = 0, bottom = 0, top = 0;  // units, y up
};

Box box_of(const InkPanel& panel) {
  Box box;
  bool first = true;
  for (const auto& path : panel.paths) {
    for (const auto& p : path.points) {
      box.left = first ? p.x : std::min<double>(box.left, p.x);
      box.right = first ? p.x : std::max<double>(box.right, p.x);
      box.bottom = first ? p.y : std::min<double>(box.bottom, p.y);
      box.top = first ? p.y : std::max<double>(box.top, p.y);
      first = false;
    }
  }
  return box;
}

}  // namespace

std::vector<InkPath> ink_strokes(const InkLine& line) {
  std::vector<InkPath> out;
  bool down = false;
  for (const auto& p : line.points) {
    if (!down) out.emplace_back();
    out.back().points.push_back(p);
    down = !p.pen_up;
  }
  return out;
}

std::vector<InkPath> ink_segments(const InkLine& line, const std::vector<uint8_t>& ends) {
  if (!ends.empty() && ends.size() != line.points.size()) {
    throw Error(fmt::format("{} has {} points, but boundaries for {}", line.name, line.points.size(), ends.size()));
  }
  std::vector<InkPath> out;
  size_t segment = 0;
  bool fresh = true;  // whether the next point begins a path
  for (size_t i = 0; i < line.points.size(); ++i) {
    if (fresh) {
      out.push_back({{}, kColours[segment % kColours.size()]});
      if (i > 0 && !line.points[i - 1].pen_up) out.back().points.push_back(line.points[i - 1]);
    }
    out.back().points.push_back(line.points[i]);
    const bool ended = ends.empty() ? line.points[i].pen_up : ends[i] != 0;
    if (ended) ++segment;
    fresh = ended || line.points[i].pen_up;
  }
  return out;
}

std::string ink_svg(const std::vector<InkPanel>& panels, const InkSvgOptions& options) {
  std::string body;
  double width = 0, y = options.margin_mm;
  for (const auto& panel : panels) {
    const auto box = box_of(panel);
    if (!panel.caption.empty()) {
      body += fmt::format(
          "<text x=\"{:.2f}\" y=\"{:.2f}\" font-family=\"sans-serif\" font-size=\"{}\" fill=\"#555\">{}</text>\n",
          options.margin_mm, y + kCaption * 0.8, kCaption * 0.9, xml_text(panel.caption));
      y += kCaption + 2;
    }
    for (const auto& path : panel.paths) {
      body += fmt::format("<path stroke=\"{}\" d=\"", path.colour);
      const auto put = [&](char command, const InkPoint& p) {
        body += fmt::format("{}{:.2f} {:.2f}", command, options.margin_mm + (p.x - box.left) * options.mm_per_unit,
                            y + (box.top - p.y) * options.mm_per_unit);
      };
      for (size_t i = 0; i < path.points.size(); ++i) put(i == 0 ? 'M' : 'L', path.points[i]);
      if (path.points.size() == 1) put('L', path.points[0]);  // a dot: the round line cap makes it visible
      body += "\"/>\n";
    }
    width = std::max(width, (box.right - box.left) * options.mm_per_unit);
    y += (box.top - box.bottom) * options.mm_per_unit + options.margin_mm;
  }
  width += 2 * options.margin_mm;
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.2f}mm\" height=\"{1:.2f}mm\" "
      "viewBox=\"0 0 {0:.2f} {1:.2f}\">\n"
      "<g fill=\"none\" stroke-width=\"{2}\" stroke-linecap=\"round\" stroke-linejoin=\"round\">\n{3}</g>\n"
      "</svg>\n",
      width, y, options.pen_mm, body);
}

}  // namespace hmrnn
