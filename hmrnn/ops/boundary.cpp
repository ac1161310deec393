#include "hmrnn/ops/boundary.h"

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

/// Any value forwards, hardσ backwards.
class StraightThrough : public torch::autograd::Function<StraightThrough> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* ctx, const torch::Tensor& pre,
                               const torch::Tensor& slope, const torch::Tensor& value) {
    ctx->save_for_backward({pre, slope});
    return value.clone();
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 const torch::autograd::variable_list& grad) {
    const auto saved = ctx->get_saved_variables();
    const auto& pre = saved[0];
    const auto& slope = saved[1];
    const auto inside = (pre * slope).abs().le(1);
    return {grad[0] * (slope * 0.5) * inside, torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

BoundaryMode parse_boundary_mode(const std::string& name) {
  if (name == "step") return BoundaryMode::Step;
  if (name == "bernoulli") return BoundaryMode::Bernoulli;
  if (name == "soft") return BoundaryMode::Soft;
  throw Error("boundary '" + name + "' is not one of step, bernoulli, soft");
}

std::string to_string(BoundaryMode mode) {
  switch (mode) {
    case BoundaryMode::Step:
      return "step";
    case BoundaryMode::Bernoulli:
      return "bernoulli";
    case BoundaryMode::Soft:
      return "soft";
  }
  return "?";
}

torch::Tensor hard_sigmoid(const torch::Tensor& pre, const torch::Tensor& slope) {
  TORCH_CHECK(pre.is_floating_point(), "hard_sigmoid: pre must be floating, got ", pre.scalar_type());
  TORCH_CHECK(slope.dim() == 0, "hard_sigmoid: slope must be a 0-d tensor, got ", slope.sym_sizes());
  return ((pre * slope + 1) * 0.5).clamp(0, 1);
}

torch::Tensor straight_through(const torch::Tensor& value, const torch::Tensor& pre, const torch::Tensor& slope) {
  TORCH_CHECK(pre.is_floating_point(), "straight_through: pre must be floating, got ", pre.scalar_type());
  TORCH_CHECK(slope.dim() == 0, "straight_through: slope must be a 0-d tensor, got ", slope.sym_sizes());
  TORCH_SYM_CHECK(c10::sym_equals(value.sym_sizes(), pre.sym_sizes()),
                  "straight_through: value must have the shape of pre ", pre.sym_sizes(), ", got ", value.sym_sizes());
  return StraightThrough::apply(pre, slope, value.detach().to(pre.scalar_type()));
}

torch::Tensor boundary(const torch::Tensor& pre, const torch::Tensor& slope, BoundaryMode mode,
                       const std::optional<torch::Tensor>& noise) {
  TORCH_CHECK(pre.is_floating_point(), "boundary: pre must be floating, got ", pre.scalar_type());
  TORCH_CHECK(slope.dim() == 0, "boundary: slope must be a 0-d tensor, got ", slope.sym_sizes());
  torch::Tensor value;
  {
    torch::NoGradGuard no_grad;
    const auto p = hard_sigmoid(pre, slope.to(pre.scalar_type()));
    switch (mode) {
      case BoundaryMode::Step:
        value = p.gt(0.5);
        break;
      case BoundaryMode::Bernoulli:
        TORCH_CHECK(noise && noise->defined(), "boundary: Bernoulli needs noise");
        TORCH_SYM_CHECK(c10::sym_equals(noise->sym_sizes(), pre.sym_sizes()),
                        "boundary: noise must have the shape of pre ", pre.sym_sizes(), ", got ", noise->sym_sizes());
        value = noise->to(p.scalar_type()).lt(p);
        break;
      case BoundaryMode::Soft:
        value = p;
        break;
    }
  }
  return straight_through(value, pre, slope.to(pre.scalar_type()));
}

}  // namespace hmrnn
