#include "boundaries_svg.h"

#include <fmt/format.h>

#include <algorithm>

#include "hmrnn/analysis/operations.h"
#include "hmrnn/io/xml_text.h"

namespace {

// pixels
constexpr int kCell = 13, kRow = 14, kTextRow = 26, kMargin = 14, kLabel = 74;
constexpr const char* kColours[][2] = {
    {"#7fb3e6", "#a9cdf0"}, {"#e8a25c", "#f2c496"}, {"#77c08b", "#a5d6b3"}, {"#b79ad9", "#d0bfe6"}};

/// A bar with rounded ends where the segment begins and ends, straight ones where a wrapped segment continues.
std::string block(int x, int y, int width, const char* colour, bool begins, bool ends) {
  const int r = 4, height = kRow - 4;
  if (begins) x += 1, width -= 1;
  if (ends) width -= 1;
  const int left = begins ? r : 0, right = ends ? r : 0;
  const auto corner = [&](bool round, const char* arc, int down) {
    return round ? fmt::format("a{},{} 0 0 1 {}", r, r, arc) : fmt::format("v{}", down);
  };
  return fmt::format("<path d=\"M{},{} h{} {} h{} {} z\" fill=\"{}\"/>\n", x + left, y, width - left - right,
                     corner(ends, fmt::format("0,{}", height).c_str(), height), -(width - left - right),
                     corner(begins, fmt::format("0,-{}", height).c_str(), -height), colour);
}

/// Draws one line, wrapped.
class Drawing {
 public:
  Drawing(std::string& body, int& height, int& columns) : body_(body), height_(height), widest_(columns) {}

  void line(const SegmentedLine& line, int columns) {
    const auto cells = text_cells(line.text);
    const auto z = max_by_cell(cells, line.z);
    std::vector<size_t> segment(z.size());
    size_t begin = 0;
    do {
      size_t end = begin;
      int used = 0;
      // At least one cell: a wide one may be wider than a line.
      for (; end < cells.size() && (columns == 0 || end == begin || used + cells[end].width <= columns); ++end) {
        used += cells[end].width;
      }
      widest_ = std::max(widest_, used);
      text(cells, begin, end);
      for (size_t l = 0; l < z.size(); ++l) layer(cells, z[l], l, begin, end, segment[l]);
      height_ += 10;
      begin = end;
    } while (begin < cells.size());
  }

 private:
  void text(const std::vector<TextCell>& cells, size_t begin, size_t end) {
    int x = kMargin + kLabel;
    for (size_t i = begin; i < end; x += cells[i++].width * kCell) {
      if (cells[i].shown == " ") continue;
      body_ += fmt::format("<text x=\"{:.1f}\" y=\"{}\" class=\"c\">{}</text>\n", x + cells[i].width * kCell / 2.0,
                           height_ + 18, hmrnn::xml_text(cells[i].shown));
    }
    height_ += kTextRow;
  }

  /// `segment`: number of the current segment, which may continue in the next row.
  void layer(const std::vector<TextCell>& cells, const std::vector<float>& z, size_t l, size_t begin, size_t end,
             size_t& segment) {
    body_ += fmt::format("<text x=\"{}\" y=\"{}\" class=\"l\">layer {}</text>\n", kMargin, height_ + 9, l + 1);
    const auto fires = [&](size_t i) { return hmrnn::fired(z[i]); };
    int x = kMargin + kLabel;
    for (size_t i = begin; i < end;) {
      const bool begins = i == 0 || fires(i - 1);
      int width = 0;
      bool ends = false;
      while (i < end && !ends) {
        width += cells[i].width * kCell;
        ends = fires(i++);
      }
      body_ += block(x, height_, width, kColours[l % 4][segment % 2], begins, ends);
      if (ends) ++segment;
      x += width;
    }
    height_ += kRow;
  }

  std::string& body_;
  int& height_;
  int& widest_;
};

}  // namespace

std::string boundaries_svg(const std::vector<SegmentedLine>& lines, int columns, const std::string& caption) {
  std::string body;
  int height = kMargin, widest = 0;
  Drawing drawing(body, height, widest);
  for (const auto& line : lines) drawing.line(line, columns);
  if (!caption.empty()) {
    height += 8;
    body += fmt::format("<text x=\"{}\" y=\"{}\" class=\"l\">{}</text>\n", kMargin, height, hmrnn::xml_text(caption));
    height += 6;
  }
  const int width = std::max(2 * kMargin + kLabel + kCell * widest, static_cast<int>(caption.size()) * 7 + 2 * kMargin);
  height += kMargin - 6;
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img">
<title>Boundaries that each layer found in a text</title>
<style>
.c {{ font: 17px monospace; text-anchor: middle; fill: #1c2733; }}
.l {{ font: 12px sans-serif; fill: #55616d; }}
</style>
<rect width="{0}" height="{1}" rx="8" fill="#fbfcfd"/>
{2}</svg>
)",
      width, height, body);
}
