#pragma once

#include <torch/types.h>

#include <string>

/// A line of text with the boundaries of each layer under it, for people:
///
///         the cat sat
///     z1  ..|...|...
///     z2  ......|...
///
/// A mark stands under the character (UTF-8) at which the layer found a boundary: '|', or with soft boundaries a digit,
/// the tenths of z. Control characters are shown as spaces, bytes that are not UTF-8 as U+FFFD. `z` [bytes of text,
/// L-1]. `width` > 0 folds lines to that many columns; `colour` adds ANSI colours.
std::string show_boundaries(const std::string& text, const torch::Tensor& z, bool soft, int width, bool colour);
