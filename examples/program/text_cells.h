#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// What a reader takes for one character of a text (a grapheme cluster: a letter with its accents, an emoji with what
/// changes it).
struct TextCell {
  std::string shown;     ///< UTF-8, of what can be shown: bytes that are not UTF-8 are U+FFFD
  size_t begin = 0;      ///< of its bytes in the text
  size_t end = 0;        ///< behind its last byte
  int width = 1;         ///< columns of a terminal that it takes, 1 or 2
  bool control = false;  ///< a character that does something instead of showing itself; `shown` is a picture of it
};

/// The cells of a text, in order; together they have all of its bytes. Without utf8proc (HMRNN_UTF8PROC) every code
/// point is a cell of one column.
std::vector<TextCell> text_cells(std::string_view text);
