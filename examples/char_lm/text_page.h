#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "boundary_text.h"
#include "examples/program/report.h"
#include "hmrnn/models/char_lm_checkpoint.h"

/// What a model made of a text of T bytes, symbol by symbol, as a page shows it.
struct TextSignals {
  torch::Tensor z;            ///< [T, L-1]
  torch::Tensor probability;  ///< [T, L-1]
  /// L strings of T letters (operation_strings)
  std::vector<std::string> operations;
  torch::Tensor norms;  ///< [T, L]; undefined: not known
  torch::Tensor bits;   ///< [T], each of its own symbol, 0 where it is not scored; undefined: not known
};

/// The characters of a text as a page shows them, one string each.
Json cells_json(const std::vector<TextCell>& cells);
/// What the model made of each: strings with one letter, or two hexadecimal digits, a cell. Of a cell of several bytes:
/// the greatest z, z̃ and norm, the most active operation, all of its bits.
Json signals_json(const std::vector<TextCell>& cells, const TextSignals& signals);
