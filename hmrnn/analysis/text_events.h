#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hmrnn/export.h"

// Where a text's units end: what boundaries are compared with (alignment.h). Marks have the text's length in bytes; 1
// stands at the last byte of a unit.

namespace hmrnn {

/// Spaces and line ends themselves.
HMRNN_API std::vector<uint8_t> space_marks(std::string_view text);

/// The last byte of every word: one that is neither space nor line end, before one that is or before the text's end.
HMRNN_API std::vector<uint8_t> word_end_marks(std::string_view text);

/// A text whose boundaries somebody wrote into it.
struct MarkedText {
  std::string text;             ///< without the marks
  std::vector<uint8_t> events;  ///< 1 at the byte before a mark
};

/// Takes every '|' out of `marked`: a boundary behind the byte before it. One before the first byte, or behind another
/// one, says nothing. Throws hmrnn::Error naming `what` if there is none, or no text.
HMRNN_API MarkedText read_marked_text(std::string_view marked, const std::string& what);

/// A JSON list of places, or an object with such a list under "positions", of a text of `size` bytes: each the offset
/// of a byte (from 0) at which a unit ends. Throws hmrnn::Error naming `what` for anything else and for an offset out
/// of range.
HMRNN_API std::vector<uint8_t> read_positions(std::string_view json, size_t size, const std::string& what);

}  // namespace hmrnn
