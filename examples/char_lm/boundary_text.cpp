#include "boundary_text.h"

#include <algorithm>
#include <string_view>
#include <vector>

#include "examples/program/printable.h"

namespace {

constexpr int kGutter = 4;  // "z1  "

/// What stands in a column: control characters would break the alignment, and more.
std::string visible(std::string_view character) {
  if (utf8_length(character) == 0) return "\uFFFD";
  return is_control(character) ? " " : std::string(character);
}

char mark(double z, bool soft) {
  if (!soft) return z != 0 ? '|' : '.';
  return static_cast<char>('0' + std::clamp(static_cast<int>(z * 10), 0, 9));
}

}  // namespace

std::string show_boundaries(const std::string& text, const torch::Tensor& z, bool soft, int width, bool colour) {
  const auto layers = z.size(1);
  const auto values = z.to(torch::kFloat32).contiguous();
  const auto* value = values.data_ptr<float>();
  // Columns: characters, and for each layer the greatest z among a character's bytes.
  std::vector<std::string> characters;
  std::vector<std::vector<float>> columns(layers);
  size_t end = 0;  // of the character at hand
  for (size_t i = 0; i < text.size(); ++i) {
    const bool first = i == end;
    if (first) {
      const auto character =
          std::string_view(text).substr(i, std::max<size_t>(utf8_length(std::string_view(text).substr(i)), 1));
      characters.push_back(visible(character));
      end = i + character.size();
    }
    for (int64_t l = 0; l < layers; ++l) {
      const float here = value[static_cast<int64_t>(i) * layers + l];
      if (first) columns[l].push_back(here);
      columns[l].back() = std::max(columns[l].back(), here);
    }
  }

  std::string out;
  const size_t step = width > kGutter ? static_cast<size_t>(width - kGutter) : std::max<size_t>(characters.size(), 1);
  size_t begin = 0;
  do {
    const size_t stop = std::min(begin + step, characters.size());
    out += std::string(kGutter, ' ');
    for (size_t i = begin; i < stop; ++i) out += characters[i];
    out += '\n';
    for (int64_t l = 0; l < layers; ++l) {
      auto label = "z" + std::to_string(l + 1);
      label.resize(kGutter, ' ');
      out += label;
      if (colour) out += "\x1b[" + std::to_string(31 + l % 6) + "m";
      for (size_t i = begin; i < stop; ++i) out += mark(columns[l][i], soft);
      if (colour) out += "\x1b[0m";
      out += '\n';
    }
    begin = stop;
  } while (begin < characters.size());
  return out;
}
