#pragma once

#include <cstdint>
#include <vector>

#include "hmrnn/data/ink_line.h"
#include "hmrnn/export.h"

namespace hmrnn {

/// Handwriting with known boundaries: `count` lines of "words" from a seed. A word is one to five letters, and a letter
/// is made of loops, arches, cups and stems (cubic curves); letters are joined along the base line, except that stems
/// are begun anew with the pen lifted. Dots and cross bars are strokes of their own, written when the word's letters
/// are, as people do. Every line has its words' ends in `word_end`: the last point of the last stroke of each word.
///
/// Coordinates are whole numbers in the units of IAM-OnDB (an x-height of 90 to 130, a point every 20 or so); lines are
/// called `s00-000-01` and so on, up to 8 to a form, and a form has one hand: slant, width, size and trembling. There
/// is one vocabulary of words; the seed chooses text and hands. The same on every machine: the arithmetic is of sums
/// and products alone.
HMRNN_API std::vector<InkLine> make_synthetic_ink(int64_t count, uint64_t seed);

}  // namespace hmrnn
