#pragma once

#include <string>
#include <string_view>

// Text of strangers on its way to a terminal: file names, what a file holds, what a model writes. An escape byte in it
// would move the cursor, change colours, or set the terminal's title.

/// The number of bytes of the UTF-8 character at the start of `text`; 0 where there is none (`text` is empty or its
/// first byte belongs to no character).
size_t utf8_length(std::string_view text);

/// `character` (one of UTF-8) does something else than to show itself: C0 and C1 controls, DEL, and the marks that
/// change the direction of the text around them.
bool is_control(std::string_view character);

/// `text` on one line: line ends and tabs become spaces, controls and bytes that are not UTF-8 their values, "\x1b".
std::string printable(std::string_view text);
