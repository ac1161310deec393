#pragma once

#include <torch/types.h>

#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// Whether each boundary z fired, as a bool tensor of z's shape: z > ½. Hard boundaries are 0 or 1; a soft one counts
/// as fired above ½.
HMRNN_API torch::Tensor fired(const torch::Tensor& z);
HMRNN_API bool fired(double z);  ///< the same of one value

/// What decides each layer's operations over a window: bool [T, B, L].
struct HMRNN_API StepOperations {
  torch::Tensor bottom_up;  ///< the boundary below fired at this step; always true in the first layer
  torch::Tensor flush;  ///< the layer's own boundary fired at the previous step; never in a layer without a detector

  /// UPDATE or FLUSH
  torch::Tensor active() const { return bottom_up.logical_or(flush); }
};

/// The StepOperations of boundaries z [T, B, M] and z0 [B, M] of the step before, with `layers` L. A layer without a
/// detector below it gets its input at every step (M = 0: a plain LSTM). A soft z counts as firing above ½. Throws
/// c10::Error for other shapes.
HMRNN_API StepOperations step_operations(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers);

/// Steps at which a layer does not COPY: bool [T, B, L], from the boundaries z [T, B, M] of a window and z0 [B, M] of
/// the step before it, with `layers` L (equation 2 of the paper). Layer l is active (UPDATE or FLUSH) if the boundary
/// below it fires at this step or its own fired at the previous one. The first layer is always active, as is a layer
/// without a detector below it (M = 0: a plain LSTM). A soft z counts as firing above ½: the operation with the larger
/// weight counts.
HMRNN_API torch::Tensor active_steps(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers);

/// Number of active steps of each layer, float64 [L] on z's device, among the T · B steps with `weight` [T, B] 1 (0 or
/// 1; undefined: all). Divided by the number of these steps it is 1 − the fraction of COPY.
HMRNN_API torch::Tensor update_counts(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers,
                                      const torch::Tensor& weight = {});

/// The operations of one sequence, from z [T, M] and z0 [M]: for each of L layers a string of T letters, 'U' UPDATE,
/// 'C' COPY, 'F' FLUSH. A soft z counts as in active_steps.
HMRNN_API std::vector<std::string> operation_strings(const torch::Tensor& z, const torch::Tensor& z0, int64_t layers);

}  // namespace hmrnn
