#include "hmrnn/nn/hm_lstm_cell.h"

#include <torch/nn/init.h>

#include <cmath>

#include "hmrnn/error.h"
#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn {

namespace {

/// Fills the matrix [R, e] of a layer of d units as Initialisation::Orthogonal defines.
void init_orthogonal(torch::Tensor& matrix, int64_t d) {
  const auto inputs = matrix.size(1);
  auto gates = matrix.narrow(0, 0, 4 * d);
  const auto glorot = [&](torch::Tensor rows, int64_t outputs) {
    const double bound = std::sqrt(6.0 / static_cast<double>(inputs + outputs));
    rows.uniform_(-bound, bound);
  };
  if (inputs == d) {
    auto block = torch::empty({d, d}, matrix.options().requires_grad(false));
    torch::nn::init::orthogonal_(block);
    gates.copy_(block.repeat({4, 1}));
  } else {
    glorot(gates, d);
  }
  if (matrix.size(0) > 4 * d) glorot(matrix.narrow(0, 4 * d, 1), 1);
}

}  // namespace

Initialisation parse_initialisation(const std::string& name) {
  for (const auto value : {Initialisation::Uniform, Initialisation::Orthogonal}) {
    if (to_string(value) == name) return value;
  }
  throw Error("initialisation '" + name + "' is not one of uniform, orthogonal");
}

std::string to_string(Initialisation initialisation) {
  return initialisation == Initialisation::Uniform ? "uniform" : "orthogonal";
}

HMLSTMCellImpl::HMLSTMCellImpl(const HMLSTMCellOptions& options_) : options(options_) {
  TORCH_CHECK(options.input_size() >= 1, "HMLSTMCell: input_size must be at least 1, got ", options.input_size());
  TORCH_CHECK(options.hidden_size() >= 1, "HMLSTMCell: hidden_size must be at least 1, got ", options.hidden_size());
  TORCH_CHECK(options.above_size() >= 0, "HMLSTMCell: above_size must not be negative, got ", options.above_size());
  TORCH_CHECK(options.eps() > 0, "HMLSTMCell: eps must be positive, got ", options.eps());
  TORCH_CHECK(std::isfinite(options.norm_gain()), "HMLSTMCell: norm_gain must be finite, got ", options.norm_gain());
  reset();
}

void HMLSTMCellImpl::reset() {
  const auto d = options.hidden_size();
  const bool top = options.above_size() == 0;
  const auto rows = top ? 4 * d : 4 * d + 1;
  recurrent = register_parameter("recurrent", torch::empty({rows, d}));
  bottom_up = register_parameter("bottom_up", torch::empty({rows, options.input_size()}));
  if (!top) top_down = register_parameter("top_down", torch::empty({rows, options.above_size()}));
  bias = register_parameter("bias", torch::empty({rows}));
  if (options.layer_norm()) {
    const auto norm = [&](const char* name, int64_t size) {
      return register_module(name, torch::nn::LayerNorm(torch::nn::LayerNormOptions({size}).eps(options.eps())));
    };
    recurrent_norm = norm("recurrent_norm", 4 * d);
    bottom_up_norm = norm("bottom_up_norm", 4 * d);
    if (!top) top_down_norm = norm("top_down_norm", 4 * d);
    cell_norm = norm("cell_norm", d);
  }
  reset_parameters();
}

void HMLSTMCellImpl::reset_parameters() {
  torch::NoGradGuard no_grad;
  const auto d = options.hidden_size();
  const double bound = 1 / std::sqrt(static_cast<double>(d));
  for (auto* matrix : {&recurrent, &bottom_up, &top_down}) {
    if (!matrix->defined()) continue;
    if (options.init() == Initialisation::Uniform) {
      torch::nn::init::uniform_(*matrix, -bound, bound);
    } else {
      init_orthogonal(*matrix, d);
    }
  }
  bias.zero_();
  bias.narrow(0, 0, d).fill_(options.forget_bias());
  if (top_down.defined()) bias.narrow(0, 4 * d, 1).fill_(options.boundary_bias());
  for (auto& norm : {recurrent_norm, bottom_up_norm, top_down_norm, cell_norm}) {
    if (!norm.is_empty()) {
      norm->weight.fill_(norm.get() == cell_norm.get() ? 1 : options.norm_gain());
      norm->bias.zero_();
    }
  }
}

void HMLSTMCellImpl::cap_detector_norm(double cap) {
  TORCH_CHECK(cap > 0, "HMLSTMCell: the cap of a detector's norm must be above 0, got ", cap);
  if (!top_down.defined()) return;
  const torch::NoGradGuard no_grad;
  for (const auto& matrix : {recurrent, bottom_up, top_down}) {
    auto row = matrix.detach().select(0, 4 * options.hidden_size());
    row.mul_((cap / row.norm()).clamp_max(1));
  }
}

void HMLSTMCellImpl::shift_detector_bias(const torch::Tensor& change) {
  TORCH_CHECK(change.dim() == 0, "HMLSTMCell: the change of a detector's bias must be 0-d, got ", change.sizes());
  if (!top_down.defined()) return;
  const torch::NoGradGuard no_grad;
  bias.detach()[4 * options.hidden_size()].add_(change);
}

void HMLSTMCellImpl::pretty_print(std::ostream& stream) const {
  stream << "hmrnn::HMLSTMCell(input_size=" << options.input_size() << ", hidden_size=" << options.hidden_size()
         << ", above_size=" << options.above_size() << ", layer_norm=" << (options.layer_norm() ? "true" : "false")
         << ", boundary=" << to_string(options.boundary()) << ")";
}

HMLSTMCellState HMLSTMCellImpl::forward(const torch::Tensor& below, const torch::Tensor& z_below,
                                        const HMLSTMCellState& state, const torch::Tensor& above, double slope,
                                        const torch::Tensor& noise) {
  TORCH_CHECK(below.defined() && below.dim() == 2, "HMLSTMCell: below must have shape [B, ", options.input_size(),
              "], got ", below.defined() ? c10::str(below.sizes()) : "nothing");
  TORCH_CHECK(std::isfinite(slope) && slope > 0, "HMLSTMCell: slope must be a finite number above 0, got ", slope);
  const auto batch = below.size(0);
  const auto check = [&](const char* name, const torch::Tensor& x, torch::IntArrayRef expected) {
    TORCH_CHECK(x.defined(), "HMLSTMCell: ", name, " is missing, expected ", expected);
    TORCH_CHECK(x.sizes() == expected, "HMLSTMCell: ", name, " must have shape ", expected, ", got ", x.sizes());
    TORCH_CHECK(x.scalar_type() == recurrent.scalar_type(), "HMLSTMCell: ", name, " must be ", recurrent.scalar_type(),
                ", got ", x.scalar_type());
    TORCH_CHECK(x.device() == recurrent.device(), "HMLSTMCell: ", name, " must be on ", recurrent.device(), ", got ",
                x.device());
  };
  const bool top = options.above_size() == 0;
  check("below", below, {batch, options.input_size()});
  check("z_below", z_below, {batch});
  check("state.h", state.h, {batch, options.hidden_size()});
  check("state.c", state.c, {batch, options.hidden_size()});
  if (!top) {
    check("state.z", state.z, {batch});
    check("above", above, {batch, options.above_size()});
  }
  if (options.boundary() != BoundaryMode::Soft) {
    assert_hard("HMLSTMCell", "z_below", z_below);
    if (!top) assert_hard("HMLSTMCell", "state.z", state.z);
  }
  BoundaryRule rule;
  rule.mode = options.boundary();
  rule.slope = torch::tensor(slope, bias.options());
  if (!top && rule.mode == BoundaryMode::Bernoulli)
    rule.noise = noise.defined() ? noise : torch::rand({batch}, below.options());
  auto [h, c, z] =
      reference_step(parameters_of_layer(), below, z_below, state.h, state.c, state.z, above, rule, options.eps());
  return {h, c, z};
}

HMLSTMCellState HMLSTMCellImpl::initial_state(int64_t batch) const {
  const auto zeros = torch::zeros({batch, options.hidden_size()}, bias.options().requires_grad(false));
  return {zeros, zeros.clone(), options.above_size() == 0 ? torch::Tensor() : zeros.select(1, 0).clone()};
}

LayerParameters HMLSTMCellImpl::parameters_of_layer() const {
  const auto norm = [](const torch::nn::LayerNorm& n) {
    return n.is_empty() ? NormParameters{} : NormParameters{n->weight, n->bias};
  };
  return {recurrent,           bottom_up,      top_down, bias, norm(recurrent_norm), norm(bottom_up_norm),
          norm(top_down_norm), norm(cell_norm)};
}

}  // namespace hmrnn
