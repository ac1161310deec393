#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Where layers did something other than COPY: bool [T, B, L] for `layers` L, from the boundaries z [T, B, M] of a
/// window and z0 [B, M] of the step before it (PAPER.md, "The cell"). Layer l is active (UPDATE or FLUSH) where the
/// boundary below it fires now or its own fired a step ago; the first layer always is, and so is a layer without a
/// detector below it (M = 0: a plain LSTM). A soft z fires where it is above ½: what counts is the operation of the
/// greater weight.
HMRNN_API torch::Tensor active_steps(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers);

/// float64 [L] on z's device: how many of the window's T · B steps each layer was active, of those with `weight` [T, B]
/// (0 or 1; undefined: all). Divided by the number of steps it is 1 − the share of COPY.
HMRNN_API torch::Tensor update_counts(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers,
                                      const torch::Tensor& weight = {});

/// The operations of one sequence, a string of T letters for each of L layers: 'U' UPDATE, 'C' COPY, 'F' FLUSH, from
/// z [T, M] and z0 [M]; a soft z fires as in active_steps.
HMRNN_API std::vector<std::string> operation_strings(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers);

}  // namespace hmrnn
