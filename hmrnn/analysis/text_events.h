#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hmrnn/export.h"

// Ends of the units of a text, to compare boundaries with (alignment.h). Marks have the text's length in bytes, with 1
// at the last byte of a unit.

namespace hmrnn {

/// Marks every space and line end.
HMRNN_API std::vector<uint8_t> space_marks(std::string_view text);

/// Marks the last byte of every word: neither space nor line end, but followed by one or by the end of the text.
HMRNN_API std::vector<uint8_t> word_end_marks(std::string_view text);

/// A text with its annotated boundaries.
struct MarkedText {
  std::string text;             ///< without the marks
  std::vector<uint8_t> events;  ///< 1 at the byte before a mark
};

/// Removes every '|' from `marked`: each is a boundary after the previous byte. A '|' at the beginning, or directly
/// after another one, has no effect. Throws hmrnn::Error naming `what` if no boundary is left, or no text.
HMRNN_API MarkedText read_marked_text(std::string_view marked, const std::string& what);

/// Reads a JSON list of positions, or an object with such a list under "positions", for a text of `size` bytes: each is
/// the offset (from 0) of a byte at which a unit ends. Throws hmrnn::Error naming `what` for anything else and for an
/// offset out of range.
HMRNN_API std::vector<uint8_t> read_positions(std::string_view json, size_t size, const std::string& what);

}  // namespace hmrnn
