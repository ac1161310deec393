#pragma once

#include <string>
#include <vector>

#include "boundary_text.h"

/// Draws lines of text with a row of blocks for each layer: a block is a segment, it ends with the character at which
/// the layer's boundary fired (z above ½), and there the layer above is updated. A block that is open to the right has
/// not ended. Lines are folded at `columns` > 0. `caption`: a line below; empty: none. Well-formed whatever the text
/// holds: control characters are shown by their pictures, bytes that are not UTF-8 as U+FFFD.
std::string boundaries_svg(const std::vector<SegmentedLine>& lines, int columns, const std::string& caption);
