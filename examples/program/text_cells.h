#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// One character of a text as a reader sees it (a grapheme cluster: a letter with its accents, an emoji with its
/// modifiers).
struct TextCell {
  std::string shown;     ///< UTF-8; bytes that are not UTF-8 become U+FFFD
  size_t begin = 0;      ///< offset of its first byte in the text
  size_t end = 0;        ///< offset after its last byte
  int width = 1;         ///< columns on a terminal, 1 or 2
  bool control = false;  ///< a control character; `shown` is its symbol
};

/// Splits a text into cells, which together contain all its bytes. Without utf8proc (HMRNN_UTF8PROC), every code point
/// is a cell of one column.
std::vector<TextCell> text_cells(std::string_view text);
