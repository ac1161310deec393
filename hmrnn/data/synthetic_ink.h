#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Generates handwriting with known boundaries: `count` lines of "words" from a seed. A word has one to five letters; a
/// letter consists of loops, arches, cups and stems (cubic curves). Letters are joined along the base line, but before
/// a stem the pen is lifted. Dots and cross bars are separate strokes that follow the letters of their word, as in
/// human handwriting. `word_end` marks the last point of the last stroke of each word.
///
/// Coordinates are integers in the units of IAM-OnDB (x-height 90 to 130, a point about every 20 units). Lines are
/// called `s00-000-01` and so on. A form has up to 8 lines, written by one hand: slant, width, size and tremor. The
/// vocabulary is fixed; the seed chooses text and hands. The result is the same on every machine, since the arithmetic
/// uses only sums, products and square roots.
HMRNN_API std::vector<InkLine> make_synthetic_ink(int64_t count, uint64_t seed);

}  // namespace hmrnn
