#pragma once

#include <string>
#include <vector>

#include "boundary_text.h"

/// Draws lines of text with a row of blocks for each layer. A block is a segment: it ends at the character at which the
/// layer's boundary fires (z above ½) and the layer above is updated. The last segment, which has not ended, is open to
/// the right. Lines are wrapped at `columns` > 0. `caption`: a line below; empty: none. The result is well-formed for
/// any text: control characters become their symbols (in the caption U+FFFD), bytes that are not UTF-8 become U+FFFD.
std::string boundaries_svg(const std::vector<SegmentedLine>& lines, int columns, const std::string& caption);
