#include "boundary_text.h"

#include <algorithm>
#include <vector>

namespace {

constexpr int kGutter = 4;  // "z1  "

bool starts_character(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) != 0x80; }

/// Control characters would break the alignment.
std::string visible(const std::string& character) {
  const auto first = static_cast<unsigned char>(character[0]);
  return character.size() == 1 && (first < 0x20 || first == 0x7f) ? " " : character;
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
  for (size_t i = 0; i < text.size(); ++i) {
    const bool first = characters.empty() || starts_character(text[i]);
    if (first) characters.emplace_back();
    characters.back() += text[i];
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
    const size_t end = std::min(begin + step, characters.size());
    out += std::string(kGutter, ' ');
    for (size_t i = begin; i < end; ++i) out += visible(characters[i]);
    out += '\n';
    for (int64_t l = 0; l < layers; ++l) {
      auto label = "z" + std::to_string(l + 1);
      label.resize(kGutter, ' ');
      out += label;
      if (colour) out += "\x1b[" + std::to_string(31 + l % 6) + "m";
      for (size_t i = begin; i < end; ++i) out += mark(columns[l][i], soft);
      if (colour) out += "\x1b[0m";
      out += '\n';
    }
    begin = end;
  } while (begin < characters.size());
  return out;
}
