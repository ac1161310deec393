#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "boundary_text.h"
#include "examples/program/report.h"
#include "hmrnn/models/char_lm_checkpoint.h"

/// A model's signals for a text of T bytes, as a page shows them.
struct TextSignals {
  torch::Tensor z;            ///< [T, L-1]
  torch::Tensor probability;  ///< [T, L-1]
  /// L strings of T letters (operation_strings)
  std::vector<std::string> operations;
  torch::Tensor norms;  ///< [T, L]; undefined: not known
  torch::Tensor bits;   ///< [T] of each symbol itself, 0 if it is not scored; undefined: not known
};

/// The characters of a text for a page, one string per cell.
Json cells_json(const std::vector<TextCell>& cells);
/// The signals of each cell: strings with one letter or two hexadecimal digits per cell. For a cell of several bytes:
/// the maximum of z, z̃ and norm, the most active operation, the sum of the bits.
Json signals_json(const std::vector<TextCell>& cells, const TextSignals& signals);
