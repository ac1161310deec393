#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "examples/program/text_cells.h"

/// A line of text and what each layer but the top made of its bytes.
struct SegmentedLine {
  std::string text;
  torch::Tensor z;            ///< [bytes, L-1]
  torch::Tensor probability;  ///< [bytes, L-1]: z̃; undefined where it was not asked for
};

/// One value for each cell (text_cells): the greatest among its bytes, of each layer.
std::vector<std::vector<float>> by_cell(const std::vector<TextCell>& cells, const torch::Tensor& values);

/// How marks are painted.
enum class BoundaryColour {
  Off,
  Marks,  ///< the rows of the layers have a colour each
  Blocks  ///< a layer's row is the text, segment by segment on two backgrounds
};

/// Options of show_boundaries.
struct BoundaryTextOptions {
  bool soft = false;  ///< boundaries are between 0 and 1
  int width = 0;      ///< folds lines to that many columns; 0: never
  BoundaryColour colour = BoundaryColour::Off;
};

/// A line of text with the boundaries of each layer under it, for people:
///
///         the cat sat
///     z1  ..|...|...
///     z2  ......|...
///
/// A mark stands under the character at which the layer found a boundary (under the first column of a wide one): '|',
/// or with soft boundaries a digit, the tenths of z. With probabilities a row p1 of such digits follows each. Control
/// characters are shown as spaces, bytes that are not UTF-8 as U+FFFD.
std::string show_boundaries(const SegmentedLine& line, const BoundaryTextOptions& options);
