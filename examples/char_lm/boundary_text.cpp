#include "boundary_text.h"

#include <algorithm>

namespace {

constexpr int kGutter = 4;  // "z1  "

char digit(float value) { return static_cast<char>('0' + std::clamp(static_cast<int>(value * 10), 0, 9)); }

std::string label(char name, size_t layer) {
  auto out = name + std::to_string(layer + 1);
  out.resize(std::max<size_t>(kGutter, out.size() + 1), ' ');
  return out;
}

std::string on_terminal(const TextCell& cell) { return cell.control ? " " : cell.shown; }

/// Adds a mark, padded to the width of its cell.
void put(std::string& out, char mark, const TextCell& cell) {
  out += mark;
  out.append(static_cast<size_t>(cell.width - 1), ' ');
}

/// A layer's row in colour Blocks. `segment`: number of the current segment, which may continue in the next row.
std::string blocks(const std::vector<TextCell>& cells, const std::vector<float>& z, size_t begin, size_t end,
                   size_t layer, size_t& segment) {
  const auto background = [&] {
    static constexpr int kPairs[][2] = {{153, 111}, {223, 215}, {157, 114}, {189, 147}};
    const auto& pair = kPairs[layer % 4];
    return "\x1b[30;48;5;" + std::to_string(pair[segment % 2]) + "m";
  };
  auto out = background();
  for (size_t i = begin; i < end; ++i) {
    out += on_terminal(cells[i]);
    if (z[i] <= 0.5F) continue;
    ++segment;
    if (i + 1 < end) out += background();
  }
  return out + "\x1b[0m";
}

}  // namespace

std::vector<std::vector<float>> max_by_cell(const std::vector<TextCell>& cells, const torch::Tensor& values) {
  const auto all = values.to(torch::kFloat32).contiguous();
  const auto layers = static_cast<size_t>(all.size(1));
  const auto* value = all.const_data_ptr<float>();
  std::vector<std::vector<float>> out(layers);
  for (const auto& cell : cells) {
    for (size_t l = 0; l < layers; ++l) {
      float greatest = value[cell.begin * layers + l];
      for (size_t i = cell.begin; i < cell.end; ++i) greatest = std::max(greatest, value[i * layers + l]);
      out[l].push_back(greatest);
    }
  }
  return out;
}

std::string show_boundaries(const SegmentedLine& line, const BoundaryTextOptions& options) {
  const auto cells = text_cells(line.text);
  const auto z = max_by_cell(cells, line.z);
  const auto sure =
      line.probability.defined() ? max_by_cell(cells, line.probability) : std::vector<std::vector<float>>();
  const int room = options.width > kGutter + 1 ? options.width - kGutter : 0;
  std::vector<size_t> segment(z.size());

  std::string out;
  size_t begin = 0;
  do {
    size_t end = begin;
    for (int used = 0; end < cells.size() && (room == 0 || used + cells[end].width <= room); ++end) {
      used += cells[end].width;
    }
    out += std::string(kGutter, ' ');
    for (size_t i = begin; i < end; ++i) out += on_terminal(cells[i]);
    out += '\n';
    for (size_t l = 0; l < z.size(); ++l) {
      const auto row = [&](char name, auto mark) {
        out += label(name, l);
        if (options.colour != BoundaryColour::Off) out += "\x1b[" + std::to_string(31 + l % 6) + "m";
        for (size_t i = begin; i < end; ++i) put(out, mark(i), cells[i]);
        if (options.colour != BoundaryColour::Off) out += "\x1b[0m";
        out += '\n';
      };
      if (options.colour == BoundaryColour::Blocks) {
        out += label('z', l) + blocks(cells, z[l], begin, end, l, segment[l]) + '\n';
      } else {
        row('z', [&](size_t i) { return options.soft ? digit(z[l][i]) : z[l][i] != 0 ? '|' : '.'; });
      }
      if (!sure.empty()) row('p', [&](size_t i) { return digit(sure[l][i]); });
    }
    begin = end;
  } while (begin < cells.size());
  return out;
}
