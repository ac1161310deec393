#include "examples/program/text_cells.h"

#include <algorithm>
#include <cstdint>

#include "hmrnn/run/printable.h"
#if HMRNN_UTF8PROC
#include <utf8proc.h>
#endif

namespace {

/// Unicode's symbol of a control character (U+2400 …), or U+FFFD if it has none.
std::string picture(std::string_view control) {
  const auto code = static_cast<unsigned char>(control[0]);
  if (control.size() > 1 || (code >= 0x20 && code != 0x7f)) return "\uFFFD";
  const unsigned place = code == 0x7f ? 0x21 : code;  // U+2421 is the symbol of DEL
  return {static_cast<char>(0xe2), static_cast<char>(0x90), static_cast<char>(0x80 | place)};
}

#if HMRNN_UTF8PROC
/// Joins code points into clusters.
class Clusters {
 public:
  /// Whether `character` belongs to the same cluster as the previous ones.
  bool goes_on(std::string_view character) {
    const auto before = code_;
    code_ = code_point(character);
    return before >= 0 && !utf8proc_grapheme_break_stateful(before, code_, &state_);
  }
  void interrupt() { code_ = -1, state_ = 0; }
  int width() const { return utf8proc_charwidth(code_); }

 private:
  static utf8proc_int32_t code_point(std::string_view character) {
    utf8proc_int32_t code = -1;
    utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(character.data()),
                     static_cast<utf8proc_ssize_t>(character.size()), &code);
    return code;
  }
  utf8proc_int32_t code_ = -1, state_ = 0;
};
#else
struct Clusters {
  bool goes_on(std::string_view) { return false; }
  void interrupt() {}
  int width() const { return 1; }
};
#endif

}  // namespace

std::vector<TextCell> text_cells(std::string_view text) {
  std::vector<TextCell> out;
  Clusters clusters;
  for (size_t i = 0; i < text.size();) {
    const auto length = hmrnn::utf8_length(text.substr(i));
    const auto character = text.substr(i, std::max<size_t>(length, 1));
    const auto end = i + character.size();
    if (length == 0 || hmrnn::is_control(character)) {
      clusters.interrupt();
      out.push_back({length == 0 ? "\uFFFD" : picture(character), i, end, 1, length != 0});
    } else if (clusters.goes_on(character)) {
      auto& cell = out.back();
      cell.shown += character;
      cell.end = end;
      cell.width = std::clamp(std::max(cell.width, clusters.width()), 1, 2);
    } else {
      out.push_back({std::string(character), i, end, std::clamp(clusters.width(), 1, 2), false});
    }
    i = end;
  }
  return out;
}
