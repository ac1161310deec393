#pragma once

#include <string>
#include <string_view>

#include "hmrnn/export.h"

namespace hmrnn {

// Untrusted text for a terminal: file names, contents of files, output of a model. An escape byte in it could move the
// cursor, change colours, or set the terminal's title.

/// Length in bytes of the UTF-8 character at the start of `text`; 0 if `text` is empty or starts with invalid UTF-8.
HMRNN_API size_t utf8_length(std::string_view text);

/// Whether all of `text` is UTF-8.
HMRNN_API bool is_utf8(std::string_view text);

/// Whether `character`, the bytes of one valid UTF-8 character, is a control character: C0 and C1, DEL, and the marks
/// that change the direction of text.
HMRNN_API bool is_control(std::string_view character);

/// `text` on one line: line ends and tabs become spaces; control characters and invalid UTF-8 become their values,
/// "\x1b".
HMRNN_API std::string printable(std::string_view text);

/// `text` as in printable(), but '\n' and '\t' stay ('\r' becomes a space).
HMRNN_API std::string printable_lines(std::string_view text);

/// The same for a text that comes byte by byte.
class HMRNN_API PrintableStream {
 public:
  /// The characters that are complete with `byte`.
  std::string add(char byte);
  /// What is left at the end of the text: the start of a character that was not completed.
  std::string end();

 private:
  std::string open_;
};

}  // namespace hmrnn
