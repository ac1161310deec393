#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "examples/program/text_cells.h"

/// A line of text with each detector's result for its bytes.
struct SegmentedLine {
  std::string text;
  torch::Tensor z;            ///< [bytes, L-1]
  torch::Tensor probability;  ///< [bytes, L-1]: z̃; undefined if not requested
};

/// The maximum over the bytes of each cell (text_cells), for each layer.
std::vector<std::vector<float>> max_by_cell(const std::vector<TextCell>& cells, const torch::Tensor& values);

/// How boundaries are coloured.
enum class BoundaryColour {
  Off,
  Marks,  ///< one colour per layer for the marks
  Blocks  ///< each layer's row shows the text, with two alternating backgrounds for the segments
};

/// Options of show_boundaries.
struct BoundaryTextOptions {
  bool soft = false;  ///< boundaries are real numbers in [0, 1]
  int width = 0;      ///< wraps lines at this column; 0: never
  BoundaryColour colour = BoundaryColour::Off;
};

/// A line of text with the boundaries of each layer below it:
///
///         the cat sat
///     z1  ..|...|...
///     z2  ......|...
///
/// A mark is below the character at which the layer found a boundary (below the first column of a wide character): '|',
/// or with soft boundaries a digit, the tenths of z. With probabilities, a row p1 of such digits follows each row.
/// Control characters are shown as spaces, bytes that are not UTF-8 as U+FFFD.
std::string show_boundaries(const SegmentedLine& line, const BoundaryTextOptions& options);
