#pragma once

#include <torch/types.h>

#include <optional>
#include <tuple>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/ops/boundary.h"

namespace hmrnn {

/// x.size(dim), also for symbolic shapes (torch.compile, torch.export), where it specialises the symbol to its value.
/// For loops that are unrolled over time and layers.
inline int64_t static_size(const torch::Tensor& x, int64_t dim) {
  return x.sym_size(dim).guard_int(__FILE__, __LINE__);
}

/// Gain and bias of one layer norm; both undefined without layer norm.
struct NormParameters {
  torch::Tensor weight;  ///< gain
  torch::Tensor bias;    ///< bias
};

/// Parameters of one layer of d units over an input of e features and, below the top, a layer of a units above.
/// R = 4d+1 rows f, i, o, g (d each) and z; at the top R = 4d.
struct LayerParameters {
  torch::Tensor recurrent;        ///< U [R, d]
  torch::Tensor bottom_up;        ///< W [R, e]
  torch::Tensor top_down;         ///< V [R, a]; undefined at the top
  torch::Tensor bias;             ///< b [R]
  NormParameters recurrent_norm;  ///< [4d]
  NormParameters bottom_up_norm;  ///< [4d]
  NormParameters top_down_norm;   ///< [4d]; undefined at the top
  NormParameters cell_norm;       ///< [d]

  /// d
  int64_t units() const { return static_size(recurrent, 1); }
  /// there is no layer above
  bool is_top() const { return !top_down.defined(); }
  /// its norms are defined
  bool layer_norm() const { return cell_norm.weight.defined(); }
};

/// How the boundaries of a step or a window are decided.
struct BoundaryRule {
  BoundaryMode mode = BoundaryMode::Step;  ///< how the detector decides
  torch::Tensor slope;                     ///< a, 0-d
  torch::Tensor noise;                     ///< uniform [0,1); Bernoulli only
  torch::Tensor given;                     ///< z to use instead of the detector's; undefined: the detector decides
  bool boundary_gradient = true;           ///< with `given`: straight-through gradients to the detector as well
};

/// How a window is regularised (not part of the paper): nothing is dropped by default. Masks are constants, without
/// gradients. The boundary rows of U, W and V read unmasked states.
struct WindowDropout {
  /// Recurrent dropout (Semeniuta et al. 2016): the probability of dropping a unit of g at an UPDATE or FLUSH, which
  /// then writes i⊙m⊙g, m = 0 or 1/(1-p). Nothing is drawn at a COPY: m depends on the state that the step ends, see
  /// ops/recurrent_dropout.h.
  double recurrent = 0;
  torch::Tensor seed;  ///< int64, 0-d, on the input's device; with `recurrent` above 0
  /// Locked dropout (Gal and Ghahramani 2016): [B, Σ d_l], factors of h^l in layer l's columns, applied where the gate
  /// rows of W^{l+1} and V^{l-1} read h^l, at every step and to the initial state too. U reads the unmasked h, and the
  /// returned h is unmasked.
  torch::Tensor locked_mask;
};

/// The masks of one step, by which its operands are multiplied; undefined: 1.
struct StepDropout {
  torch::Tensor written;  ///< [B, d] of g
  torch::Tensor below;    ///< [B, e] of what the gate rows of W read
  torch::Tensor above;    ///< [B, a] of what the gate rows of V read
};

/// One step of one layer (equations 1–7 of the paper) in plain ATen and autograd: every product at every step, c and h
/// as a polynomial in z that expresses the table of operations, so that z gets its gradient through the choice of
/// operation too. Every backend is tested against it.
///   below [B, e] h^{l-1}_t;  z_below [B] z^{l-1}_t;  h, c [B, d] and z [B] of this layer at t-1;
///   above [B, a] h^{l+1}_{t-1} (undefined at the top).  `rule.noise`, `rule.given`: [B].
/// Returns h [B, d], c [B, d], z [B] (z undefined at the top).
HMRNN_API std::tuple<torch::Tensor, torch::Tensor, torch::Tensor> reference_step(
    const LayerParameters& layer, const torch::Tensor& below, const torch::Tensor& z_below, const torch::Tensor& h,
    const torch::Tensor& c, const torch::Tensor& z, const torch::Tensor& above, const BoundaryRule& rule,
    double eps = 1e-5, const StepDropout& dropout = {});

/// What a window of the stack returns.
struct WindowResult {
  std::vector<torch::Tensor> h;    ///< per layer [T, B, d_l]
  std::vector<torch::Tensor> c_n;  ///< per layer [B, d_l], after the last step
  torch::Tensor z;                 ///< [T, B, L-1]
  torch::Tensor state_index;  ///< int32 [L, T, B]: number of the row's state after each step; state 0: the initial one
};

/// A window of T steps over L layers by reference_step: the test oracle of the operator hmrnn::hm_lstm, see there for
/// the arguments' shapes. `input` [T, B, e] is differentiable; `lengths` [B] int64 or undefined. Nothing is read back
/// from a device.
HMRNN_API WindowResult reference_window(const std::vector<LayerParameters>& layers, const torch::Tensor& input,
                                        const std::vector<torch::Tensor>& h0, const std::vector<torch::Tensor>& c0,
                                        const torch::Tensor& z0, const BoundaryRule& rule, const torch::Tensor& lengths,
                                        double eps = 1e-5, const WindowDropout& dropout = {});

/// int32 [L, T, B] from z [T, B, L-1] and z0 [B, L-1]: the number of steps, up to and including t, at which the row's
/// layer was active (UPDATE or FLUSH), that is where z_below ≠ 0 or its own previous z ≠ 0. Steps t ≥ `lengths` are not
/// counted (they change nothing).
HMRNN_API torch::Tensor count_states(const torch::Tensor& z, const torch::Tensor& z0,
                                     const torch::Tensor& lengths = torch::Tensor());

}  // namespace hmrnn
