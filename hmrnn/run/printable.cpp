#include "hmrnn/run/printable.h"

#include <cstdint>
#include <cstdio>

namespace hmrnn {

namespace {

/// Code point of `character`, which is valid UTF-8.
uint32_t code_point(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  if (character.size() == 1) return first;
  uint32_t value = first & (0x7fU >> character.size());
  for (const char c : character.substr(1)) value = value << 6 | (static_cast<unsigned char>(c) & 0x3fU);
  return value;
}

/// Length of the characters whose first byte this is; 0: of none.
size_t length_from(char byte) {
  const auto first = static_cast<unsigned char>(byte);
  return first < 0x80                    ? 1
         : first >= 0xc2 && first < 0xe0 ? 2
         : first >= 0xe0 && first < 0xf0 ? 3
         : first >= 0xf0 && first < 0xf5 ? 4
                                         : 0;
}

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

}  // namespace

size_t utf8_length(std::string_view text) {
  if (text.empty()) return 0;
  const size_t length = length_from(text[0]);
  if (length < 2 || text.size() < length) return length == 1 ? 1 : 0;
  for (size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  const auto value = code_point(text.substr(0, length));
  const bool overlong = value < (length == 3 ? 0x800U : length == 4 ? 0x10000U : 0x80U);
  const bool surrogate = value >= 0xd800 && value < 0xe000;
  return overlong || surrogate || value > 0x10ffff ? 0 : length;
}

bool is_utf8(std::string_view text) {
  for (size_t length = 0; !text.empty(); text.remove_prefix(length)) {
    length = utf8_length(text);
    if (length == 0) return false;
  }
  return true;
}

bool is_control(std::string_view character) {
  const auto value = code_point(character);
  return value < 0x20 || (value >= 0x7f && value < 0xa0) || (value >= 0x2028 && value <= 0x202e) ||
         (value >= 0x2066 && value <= 0x2069);
}

std::string printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t length = utf8_length(text);
    const auto character = text.substr(0, length == 0 ? 1 : length);
    if (character == "\n" || character == "\r" || character == "\t") {
      out += ' ';
    } else if (length == 0 || is_control(character)) {
      for (const char c : character) {
        char escaped[5];
        std::snprintf(escaped, sizeof escaped, "\\x%02x", static_cast<unsigned>(static_cast<unsigned char>(c)));
        out += escaped;
      }
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out;
}

std::string PrintableStream::add(char byte) {
  std::string out;
  if (!open_.empty() && !is_continuation(byte)) out = end();
  open_ += byte;
  if (byte == '\n' || byte == '\t') {
    out += byte;
    open_.clear();
  } else if (open_.size() >= length_from(open_[0])) {
    out += end();
  }
  return out;
}

std::string PrintableStream::end() {
  auto out = printable(open_);
  open_.clear();
  return out;
}

std::string printable_lines(std::string_view text) {
  PrintableStream stream;
  std::string out;
  for (const char byte : text) out += stream.add(byte);
  return out + stream.end();
}

}  // namespace hmrnn
