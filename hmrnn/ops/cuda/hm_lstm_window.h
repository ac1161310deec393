#pragma once

// The window on a device with static shapes: dense over time, no value ever read by the host, so that it can be
// captured in a CUDA graph. Free of CUDA: tests run the same code on the host.
//
// All that a state h_t of layer l goes into is one product: U of the layer itself and V of the layer below at t+1, W of
// the layer above at t. So a step of a layer is two launches, forwards and backwards:
//   forwards    kernel (reads products of earlier steps, writes h_t)  ·  product h_t → [U h, W h, V h]
//   backwards   product [dU h, dW h, dV h] → dh_t  ·  kernel (reads dh_t, writes gradients of the products it used)
// Step t of layer l waits for step t of the layer below and for step t-1 of itself and of the layer above: all steps of
// one 2t + l are independent of each other. Such a wave is one launch of the kernel, and its products run side by side.
// A window is 2T + L - 2 waves each way. For three layers and 100 steps: 201 launches of the kernel, each after the
// products of the wave before (100 times layer 2 alone, 101 times layers 1 and 3 side by side), so a captured graph is
// 402 launches deep. Some 40 launches do not depend on T: the input's product over all steps (over a table: over its
// rows), and backwards one product a layer for the gradients of U, V and W together.

#include <ATen/ATen.h>

#include <functional>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cuda/hm_lstm_kernels.h"
#include "hmrnn/ops/cuda/products.h"
#include "hmrnn/ops/hm_lstm_arguments.h"

namespace hmrnn::cuda {

/// Contiguous arguments on one device (also slope and lengths); hard boundaries. `training`: keep what backward needs.
template <class T, class P>
HMLSTMForward window_forward(const HMLSTMArguments& a, bool training, WindowKernels<T, P>& kernels);

/// grad_h per layer [T, B, d_l] and grad_c_n per layer [B, d_l], any of them undefined; grad_z [T, B, L-1] or
/// undefined.
template <class T, class P>
HMLSTMGradients window_backward(const HMLSTMArguments& a, const WindowResult& result,
                                const std::vector<at::Tensor>& saved, const std::vector<at::Tensor>& grad_h,
                                const std::vector<at::Tensor>& grad_c_n, const at::Tensor& grad_z,
                                WindowKernels<T, P>& kernels);

/// f(t, l) for the steps of a wave, lowest layer first. Waves are numbered 0 to waves(T, L) - 1 in the order of time.
inline int64_t waves(int64_t steps, int64_t layers) { return 2 * (steps - 1) + layers; }
template <class F>
void each_step(int64_t wave, int64_t steps, int64_t layers, F f) {
  for (int64_t l = wave % 2; l < layers && l <= wave; l += 2) {
    if ((wave - l) / 2 < steps) f((wave - l) / 2, l);
  }
}

/// Sizes of one layer, and where in the product of a state (a row of `width` values) its three parts begin.
struct LayerShape {
  int64_t units = 0;
  int64_t below = 0;  ///< units of the layer below, features of the input in the first layer
  int64_t above = 0;  ///< 0 at the top
  bool first = false;
  int64_t width = 0;      ///< of the product of this layer's state
  int64_t bottom_up = 0;  ///< begin of W^{l+1} h, after U^l h at 0
  int64_t top_down = 0;   ///< begin of V^{l-1} h

  bool top() const { return above == 0; }
};

inline std::vector<LayerShape> layer_shapes(const HMLSTMArguments& a) {
  std::vector<LayerShape> out(a.layers());
  for (int64_t l = 0; l < a.layers(); ++l) {
    auto& y = out[l];
    y.units = a.units(l);
    y.below = a.bottom_up[l].size(1);
    y.above = l + 1 < a.layers() ? a.units(l + 1) : 0;
    y.first = l == 0;
    y.bottom_up = 4 * y.units;
    y.top_down = y.bottom_up + 4 * y.above;
    y.width = y.top_down + (y.first ? 0 : 4 * y.below);
  }
  return out;
}

/// What forward leaves of one layer. Slot s of the tensors of S slots belongs to the state after s steps (0: the
/// initial one); S = T+1, or without training 2, used in turn.
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

  static constexpr int kTensors = 11;
  std::vector<at::Tensor> list() const {
    return {weights, boundary_rows, h, h_operand, c, products, dots, gates, term_moments, cell_moments, pre};
  }
  static LayerTape from(const std::vector<at::Tensor>& saved, int64_t l) {
    const auto* s = saved.data() + l * kTensors;
    return {s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]};
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

/// What both directions of a window share: sizes, views of the arguments, the part of a step that both have.
template <class T, class P>
class Window {
 protected:
  static constexpr bool kOwnOperand = !std::is_same_v<T, P>;  ///< h is copied to the operands' type

  Window(const HMLSTMArguments& a, bool every_slot)
      : a_(a),
        T_(a.steps()),
        B_(a.batch()),
        L_(a.layers()),
        every_slot_(every_slot),
        options_(a.h0[0].options().requires_grad(false)),
        layers_(layer_shapes(a)),
        slope_(a.slope.detach().to(options_.device(), options_.dtype().toScalarType())) {
    if (a.lengths) lengths_ = a.lengths->detach().to(options_.device()).contiguous();
  }

  int64_t slot(int64_t s) const { return every_slot_ ? s : s % 2; }
  /// Row 0 of slot s of a tensor [S, B, width].
  T* at_slot(const at::Tensor& x, int64_t s) const { return data<T>(x) + slot(s) * B_ * x.size(2); }

  void fill(Step<T>& s, int64_t t, int64_t l, const at::Tensor& z) const {
    const auto& y = layers_[l];
    const auto& own = tape_[l];
    s.batch = B_;
    s.units = y.units;
    s.time = t;
    s.bias = a_.bias[l].template const_data_ptr<T>();
    s.norm.eps = static_cast<T>(a_.eps);
    s.slope = slope_.template const_data_ptr<T>();
    s.boundary_rows = own.boundary_rows.numel() > 0 ? data<T>(own.boundary_rows) : nullptr;
    s.z_stride = L_ - 1;
    const T* zs = z.template const_data_ptr<T>();
    if (!y.first) s.z_below = zs + t * B_ * s.z_stride + l - 1;
    if (!y.top()) s.z_before = t > 0 ? zs + (t - 1) * B_ * s.z_stride + l : a_.z0.template const_data_ptr<T>() + l;
    if (lengths_.defined()) s.lengths = lengths_.template const_data_ptr<int64_t>();

    // U h_{t-1}, W h^{l-1}_t, V h^{l+1}_{t-1}: from the products of those states
    from_state(s.term[kRecurrent], l, t, 0, kRecurrent);
    if (y.first) {
      const int64_t first_row = a_.index ? 0 : t * B_;
      auto& w = s.term[kBottomUp];
      w.raw = data<T>(input_.product) + first_row * 4 * y.units;
      w.stride = 4 * y.units;
      w.dot = input_.dots.numel() > 0 ? data<T>(input_.dots) + first_row : nullptr;
      w.dot_stride = 1;
      if (a_.index) w.index = a_.index->template const_data_ptr<int64_t>() + t * B_;
      w.rows = input_.product.size(0);
    } else {
      from_state(s.term[kBottomUp], l - 1, t + 1, layers_[l - 1].bottom_up, kBottomUp);
    }
    if (!y.top()) from_state(s.term[kTopDown], l + 1, t, layers_[l + 1].top_down, kTopDown);

    s.wide = y.units % 4 == 0 && aligned({s.bias});
    if (!a_.layer_norm()) return;
    const auto gain = [&](HMLSTMArguments::Norm n) {
      return a_.norm_weight[a_.norm_index(l, n)].template const_data_ptr<T>();
    };
    const auto bias = [&](HMLSTMArguments::Norm n) {
      return a_.norm_bias[a_.norm_index(l, n)].template const_data_ptr<T>();
    };
    constexpr HMLSTMArguments::Norm norms[] = {HMLSTMArguments::kRecurrent, HMLSTMArguments::kBottomUp,
                                               HMLSTMArguments::kTopDown};
    for (int k = 0; k < kProducts; ++k) {
      if (s.term[k].raw == nullptr) continue;
      s.term[k].gain = gain(norms[k]);
      s.term[k].bias = bias(norms[k]);
      s.wide = s.wide && aligned({s.term[k].gain, s.term[k].bias});
    }
    s.norm.gain = gain(HMLSTMArguments::kCell);
    s.norm.bias = bias(HMLSTMArguments::kCell);
    s.wide = s.wide && aligned({s.norm.gain, s.norm.bias});
  }

  const HMLSTMArguments& a_;
  const int64_t T_, B_, L_;
  const bool every_slot_;
  const at::TensorOptions options_;
  const std::vector<LayerShape> layers_;
  std::vector<LayerTape> tape_;
  InputTape input_;
  at::Tensor slope_, lengths_;

 private:
  /// The part at `offset` of the product of the state of layer `from` after `s` steps.
  void from_state(TermRows<T>& term, int64_t from, int64_t s, int64_t offset, Product which) const {
    const auto& tape = tape_[from];
    term.raw = at_slot(tape.products, s) + offset;
    term.stride = layers_[from].width;
    if (tape.dots.numel() == 0) return;
    term.dot = at_slot(tape.dots, s) + which;
    term.dot_stride = kProducts;
  }
};

}  // namespace hmrnn::cuda
