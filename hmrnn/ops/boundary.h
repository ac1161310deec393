#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "hmrnn/export.h"

namespace hmrnn {

/// How a boundary z is decided from its pre-activation s (the paper's f_bound).
enum class BoundaryMode {
  Step,       ///< z = 1 if hardσ(s) > 0.5, else 0
  Bernoulli,  ///< z ~ Bernoulli(hardσ(s)), the draw made from uniform noise given by the caller
  Soft,       ///< z = hardσ(s)
};

/// "step", "bernoulli" or "soft"; throws hmrnn::Error for anything else.
HMRNN_API BoundaryMode parse_boundary_mode(const std::string& name);
HMRNN_API std::string to_string(BoundaryMode mode);

/// hardσ(s) = max(0, min(1, (a·s + 1) / 2)).
/// `pre`: any shape, floating; `slope`: a, 0-d. Errors: c10::Error for other dtypes or shapes.
HMRNN_API torch::Tensor hard_sigmoid(const torch::Tensor& pre, const torch::Tensor& slope);

/// z of `pre` (any shape, floating), with the straight-through gradient: whatever the forward pass used, the backward
/// pass differentiates hardσ, dL/ds = dL/dz · a/2 where |a·s| ≤ 1, else 0. `slope` 0-d tensor (no gradient). `noise`
/// (Bernoulli only, required then): uniform in [0, 1), shape of `pre`; z = 1 where noise < hardσ(s). Throws c10::Error
/// on a wrong shape or a missing noise.
HMRNN_API torch::Tensor boundary(const torch::Tensor& pre, const torch::Tensor& slope, BoundaryMode mode,
                                 const std::optional<torch::Tensor>& noise = std::nullopt);

/// `value` forwards, and backwards the straight-through gradient of hardσ(pre) as above: for boundaries drawn
/// elsewhere. `value` has the shape of `pre` and gets no gradient.
HMRNN_API torch::Tensor straight_through(const torch::Tensor& value, const torch::Tensor& pre,
                                         const torch::Tensor& slope);

}  // namespace hmrnn
