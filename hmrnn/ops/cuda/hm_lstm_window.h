#pragma once

// The window on a device with static shapes: dense over time, no value ever read by the host, so that it can be
// captured in a CUDA graph. Free of CUDA: tests run the same code on the host.
//
// All uses of a state h_t of layer l are one product: U of the layer itself and V of the layer below at t+1, W of the
// layer above at t. So a step of a layer is two launches, forwards and backwards:
//   forwards    kernel (reads products of earlier steps, writes h_t)  ·  product h_t → [U h, W h, V h]
//   backwards   product [dU h, dW h, dV h] → dh_t  ·  kernel (reads dh_t, writes gradients of the products it used)
// Step t of layer l depends on step t of the layer below and on step t-1 of itself and of the layer above: all steps
// with the same 2t + l are independent of each other. Such a wave is one launch of the kernel, and its products run
// side by side. A window is 2T + L - 2 waves each way. For three layers and 100 steps: 201 launches of the kernel, each
// after the products of the wave before (100 times layer 2 alone, 101 times layers 1 and 3 side by side), so a captured
// graph is 402 launches deep. Some 40 launches do not depend on T: the input's product over all steps (over a table:
// over its rows), and backwards one product a layer for the gradients of U, V and W together.
// Under a locked mask W and V read another vector than U: the product is split in two, side by side.
// Where WindowKernels has a kernel of whole windows, and this window fits (hm_lstm_chip.h), that kernel contains the
// time loop.

#include <ATen/ATen.h>

#include <functional>
#include <optional>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cuda/hm_lstm_kernels.h"
#include "hmrnn/ops/cuda/hm_lstm_plan.h"
#include "hmrnn/ops/cuda/products.h"
#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn::cuda {

/// Contiguous arguments on one device (also slope and lengths); hard boundaries. `training`: keep what backward needs.
template <class T, class P>
HMLSTMForward window_forward(const HMLSTMArguments& a, bool training, WindowKernels<T, P>& kernels);

template <class T, class P>
HMLSTMGradients window_backward(const HMLSTMArguments& a, const HMLSTMBackward& given, WindowKernels<T, P>& kernels);

inline std::vector<LayerShape> layer_shapes(const HMLSTMArguments& a) {
  std::vector<LayerShape> out(a.num_layers());
  for (int64_t l = 0; l < a.num_layers(); ++l) {
    auto& y = out[l];
    y.units = a.units(l);
    y.below = a.layers[l].bottom_up.size(1);
    y.above = a.top(l) ? 0 : a.units(l + 1);
    y.first = l == 0;
    y.bottom_up = 4 * y.units;
    y.top_down = y.bottom_up + 4 * y.above;
    y.width = y.top_down + (y.first ? 0 : 4 * y.below);
  }
  return out;
}

/// What forward saves of one layer. Slot s of the tensors of S slots belongs to the state after s steps (0: the initial
/// one); S = T+1, or without training 2, which alternate.
struct LayerTape {
  at::Tensor weights;        ///< [width, d] of the operands' type: U^l, W^{l+1}, V^{l-1}, gate rows only
  at::Tensor boundary_rows;  ///< [3, d] rows u_z^l, w_z^{l+1}, v_z^{l-1}; zeros where there is none
  at::Tensor h;              ///< [T+1, B, d]
  at::Tensor h_operand;      ///< [S, B, d] h in the operands' type; h itself where that is the states' type
  at::Tensor c;              ///< [S, B, d]
  at::Tensor products;       ///< [S, B, width]
  at::Tensor dots;           ///< [S, B, 3] boundary_rows · h
  at::Tensor gates;          ///< [T, B, 4d] f, i, o, g of the active rows; without training [1, B, 4d]
  at::Tensor term_moments;   ///< [T, B, 3, 2]; [1, B, 3, 2]
  at::Tensor cell_moments;   ///< [T, B, 2]; [1, B, 2]
  at::Tensor pre;            ///< [T, B] the boundary's pre-activation; [0] without training
  at::Tensor shown;          ///< [S, B, d] mask ⊙ h in the operands' type; [0, B, d] without a mask

  static constexpr int kTensors = 12;
  std::vector<at::Tensor> list() const {
    return {weights, boundary_rows, h, h_operand, c, products, dots, gates, term_moments, cell_moments, pre, shown};
  }
  static LayerTape from(const std::vector<at::Tensor>& saved, int64_t l) {
    const auto* s = saved.data() + l * kTensors;
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10], s[11]};
  }
};

/// The first layer's input: W^1 x over the rows of a table, or of the sequence.
struct InputTape {
  at::Tensor operand;  ///< [rows, e] x in the operands' type
  at::Tensor weights;  ///< [4d, e] W^1, gate rows, in the operands' type
  at::Tensor product;  ///< [rows, 4d]
  at::Tensor dots;     ///< [rows] w_z · x

  static constexpr int kTensors = 4;
  std::vector<at::Tensor> list() const { return {operand, weights, product, dots}; }
  static InputTape from(const std::vector<at::Tensor>& saved, int64_t layers) {
    const auto* s = saved.data() + layers * LayerTape::kTensors;
    return {s[0], s[1], s[2], s[3]};
  }
};

/// The plan of a persistent kernel; nullopt where the window runs step by step. Persistent kernels load several values
/// at once: all layers have to be wide.
template <class Plans>
std::optional<ChipPlan> chip_plan(const Plans& layers, int64_t steps, int64_t batch, bool forward,
                                  const ChipDevice& device) {
  std::vector<LayerShape> shapes;
  for (const auto& layer : layers) {
    if (!layer.wide) return {};
    shapes.push_back(layer.shape);
  }
  return plan_chip(shapes, steps, batch, forward, device);
}

/// The arguments of a persistent kernel, which contains the whole time loop.
template <class T, template <class, class> class Window, template <class, class> class Layer, class P>
Persistent<Window<T, P>, Layer<T, P>, P> persistent(const Window<T, P>& plan, const std::vector<Layer<T, P>>& layers,
                                                    const std::vector<LayerTape>& tape, const ChipPlan& chip) {
  Persistent<Window<T, P>, Layer<T, P>, P> out;
  out.window = plan;
  out.chip = chip;
  for (size_t l = 0; l < layers.size(); ++l) {
    out.layer[l] = layers[l];
    out.weights[l] = data<P>(tape[l].weights);
  }
  return out;
}

/// What both directions of a window share: sizes, and the plan's part that is the same for both.
template <class T, class P>
class Window {
 protected:
  static constexpr bool kOwnOperand = !std::is_same_v<T, P>;  ///< h is copied to the operands' type

  explicit Window(const HMLSTMArguments& a)
      : a_(a),
        T_(a.steps()),
        B_(a.batch()),
        L_(a.num_layers()),
        options_(a.window.h0[0].options().requires_grad(false)),
        layers_(layer_shapes(a)),
        slope_(a.rule.slope.detach().to(options_.device(), options_.dtype().toScalarType())) {
    if (a.window.lengths.defined()) lengths_ = a.window.lengths.detach().to(options_.device()).contiguous();
    int64_t column = 0;
    const auto& mask = a.dropout.locked_mask;
    for (int64_t l = 0; mask.defined() && L_ > 1 && l < L_; column += layers_[l++].units) {
      masks_.push_back(mask.narrow(1, column, layers_[l].units).clone(at::MemoryFormat::Contiguous));
    }
  }

  /// Whether W and V read h under a mask: then U has a product of its own.
  bool masked() const { return !masks_.empty(); }

  void plan_window(WindowPlan<T>& w, const at::Tensor& z, bool every_slot) const {
    w.steps = T_;
    w.batch = B_;
    w.layers = L_;
    w.every_slot = every_slot;
    w.z = data<T>(z);
    w.z0 = a_.window.z0.template const_data_ptr<T>();
    w.slope = slope_.template const_data_ptr<T>();
    if (lengths_.defined()) w.lengths = lengths_.template const_data_ptr<int64_t>();
    w.input = data<T>(input_.product);
    w.input_dots = data_or_null<T>(input_.dots);
    w.input_rows = input_.product.size(0);
    if (a_.indexed()) w.index = a_.window.index.template const_data_ptr<int64_t>();
    if (a_.dropout.recurrent > 0) {
      w.dropout = cell::DropoutRule<T>(a_.dropout.recurrent);
      w.seed = a_.dropout.seed.template const_data_ptr<int64_t>();
    }
  }

  /// `state_index`: int32 [L, T, B]
  void plan_layer(LayerPlan<T>& p, int64_t l, const at::Tensor& state_index) const {
    const auto& y = layers_[l];
    const auto& tape = tape_[l];
    p.shape = y;
    const auto& parameters = a_.layers[l];
    p.bias = parameters.bias.template const_data_ptr<T>();
    p.boundary_rows = data_or_null<T>(tape.boundary_rows);
    p.products = data<T>(tape.products);
    p.dots = data_or_null<T>(tape.dots);
    p.h = data<T>(tape.h);
    p.c = data<T>(tape.c);
    p.gates = data<T>(tape.gates);
    p.term_moments = reinterpret_cast<Moments<T>*>(data<T>(tape.term_moments));
    p.cell_moments = reinterpret_cast<Moments<T>*>(data<T>(tape.cell_moments));
    p.pre = data_or_null<T>(tape.pre);
    p.state = data<int32_t>(state_index) + l * T_ * B_;
    if (masked()) p.mask = data<T>(masks_[l]);
    p.norm.eps = static_cast<T>(a_.eps);
    p.wide = y.units % 4 == 0 && aligned({p.bias});
    if (!a_.layer_norm()) return;
    const NormParameters* norms[kProducts];
    norms[kRecurrent] = &parameters.recurrent_norm;
    norms[kBottomUp] = &parameters.bottom_up_norm;
    norms[kTopDown] = &parameters.top_down_norm;
    for (int k = 0; k < kProducts; ++k) {
      if (k == kTopDown && y.top()) continue;
      p.gain[k] = norms[k]->weight.template const_data_ptr<T>();
      p.shift[k] = norms[k]->bias.template const_data_ptr<T>();
      p.wide = p.wide && aligned({p.gain[k], p.shift[k]});
    }
    p.norm.gain = parameters.cell_norm.weight.template const_data_ptr<T>();
    p.norm.bias = parameters.cell_norm.bias.template const_data_ptr<T>();
    p.wide = p.wide && aligned({p.norm.gain, p.norm.bias});
  }

  const HMLSTMArguments& a_;
  const int64_t T_, B_, L_;
  const at::TensorOptions options_;
  const std::vector<LayerShape> layers_;
  std::vector<LayerTape> tape_;
  InputTape input_;
  at::Tensor slope_, lengths_;
  std::vector<at::Tensor> masks_;  ///< of each layer [B, d]; none without a locked mask
};

}  // namespace hmrnn::cuda
