#pragma once

#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "hmrnn/ops/cpu/gradient_sums.h"
#include "hmrnn/ops/cpu/hm_lstm_window.h"
#include "hmrnn/ops/cpu/row_shares.h"
#include "hmrnn/ops/cpu/weight_gradient.h"
#include "hmrnn/ops/rules.h"

namespace hmrnn::cpu {

/// Products that only dL/dz needs, computed in one batch before the time loop.
struct ExtraProducts {
  at::Tensor raw;    ///< [n, row_stride<P>(4d)] of the products' type P (raw_row)
  at::Tensor stats;  ///< [n, 2]
  std::vector<int32_t>
      row;  ///< per slot (bottom-up) or per row (recurrent): row of raw, or -1; top-down: see boundary_terms()
};

/// Data that all passes over a window's rows share.
template <class T, class P>
struct BackwardWindow {
  BackwardWindow(const HMLSTMArguments& a, const HMLSTMBackward& given);

  const std::vector<LayerView<T>> layers;
  at::TensorOptions options, products;  ///< of T and of P
  at::Tensor input;                     ///< [.., below] of P: the first layer's
  // Each pass writes its rows of:
  HMLSTMGradients g;              ///< of the weights, memory; of h0 and c0: dh and dc of each row's current step
  std::vector<at::Tensor> d_pre;  ///< per layer [T, B] dL/ds_z, zeros past a sequence's end
};

/// The backward pass over one window, for the batch rows of one forward pass, in three files: the steps, from the last
/// to the first (hm_lstm_backward_steps.cpp); the products that the boundaries' gradients need in addition to the tape,
/// and these gradients (hm_lstm_backward_boundaries.cpp); the gradients that are computed after the steps
/// (hm_lstm_backward_gradients.cpp).
/// T: type of states, parameters and gradients; P: type of the products (T, or bfloat16 if T is float).
template <class T, class P>
class Backward {
 public:
  /// Of share `index` of `shares`. `given`: grad_h and grad_z contiguous.
  Backward(const HMLSTMArguments& a, const HMLSTMBackward& given, int64_t index, int64_t shares,
           WindowProducts<P>& products, BackwardWindow<T, P>& window);

  /// All steps: the gradients of the initial state and of a sequence's input, and with one share those of the weights.
  void run();
  /// After run: adds the sums of `later`, the pass of the next share.
  void add(const Backward& later);
  /// After run of all passes of a window, two or more: the gradients of the weights, and those through the first
  /// layer's table, for which add() must have been called with the other passes.
  static void weight_gradients(std::span<Backward* const> passes);
  /// After all that: the remaining gradients.
  void finish();

 private:
  static constexpr int kU = 0, kW = 1, kV = 2;
  struct LayerState {
    int64_t n = 0;                                ///< slots
    int64_t end = 0, end_w = 0, end_v = 0;        ///< slots and rows of raw_w, raw_v that are left
    int64_t first = 0, first_w = 0, first_v = 0;  ///< where those of the current batch begin
    at::Tensor dh, dc;                            ///< BackwardWindow's
    std::vector<T> dz;                            ///< [B] dL/dz after each row's current step
    std::vector<WeightGradient<P>> weight;        ///< of U, W (not of a table) and V (not at the top), as in kU, kW, kV
    P *du = nullptr, *dw = nullptr, *dv = nullptr;  ///< gradients of the raw products of the current batch
    at::Tensor d_pre;                               ///< BackwardWindow's
    std::vector<GradientSums<T>> sums;              ///< per thread that shares this pass
    // runs of COPY steps: what is constant over the run, computed at its last COPY step
    std::vector<int32_t> ending;  ///< [B] slot of the step that ends the current state, -1: none in the window
    std::vector<char> run_ready;
    std::vector<CopyDots<T>> run_dots;
    at::Tensor delta;  ///< [B, d]
    // for dL/dz alone
    ExtraProducts extra_w, extra_v, extra_u;
  };

  /// Pointers of one layer that every step reads. (Tensor's accessors check their type at each call.)
  struct Pointers {
    const T *h0, *h;
    const P *states, *shown;
    const StateDots<T>* dots;
    const T* pre;
    const int32_t* slot;
  };

  int64_t count(int64_t l, int which) { return tape_[l].counts.template data_ptr<int64_t>()[which]; }
  int32_t slot(int64_t l, int64_t t, int64_t b) { return t < 0 ? -1 : at_[l].slot[t * B_ + b]; }
  const T* h_at(int64_t t, int64_t l, int64_t b) {
    return t < 0 ? at_[l].h0 + b * layers_[l].d : at_[l].h + (t * B_ + b) * layers_[l].d;
  }
  /// The state after step t as the products read it.
  const P* operand(int64_t t, int64_t l, int64_t b) {
    if constexpr (std::is_same_v<T, P>)
      return h_at(t, l, b);
    else
      return at_[l].states + state_row(slot(l, t, b), b, B_) * layers_[l].d;
  }
  /// The state after step t as W and V read it.
  const P* shown(int64_t t, int64_t l, int64_t b) {
    return mask_.on() ? at_[l].shown + state_row(slot(l, t, b), b, B_) * layers_[l].d : operand(t, l, b);
  }
  /// The number of row b's state of layer l after step t.
  int32_t state_number(int64_t t, int64_t l, int64_t b) const {
    return t < 0 ? 0 : state_index_.template const_data_ptr<int32_t>()[(l * T_ + t) * B_ + b];
  }
  const StateDots<T>& dots_of(int64_t t, int64_t l, int64_t b) { return at_[l].dots[state_row(slot(l, t, b), b, B_)]; }
  const T* c_of(int64_t l, int32_t s, int64_t b) {
    return s >= 0 ? row_of<T>(tape_[l].c, s, layers_[l].d)
                  : a_.window.c0[l].template const_data_ptr<T>() + b * layers_[l].d;
  }
  bool has_detector(int64_t l) const { return detect_ && !layers_[l].top(); }
  bool live(int64_t t, int64_t b) const { return lengths_.empty() || t < lengths_[b]; }
  /// Whether dL/dz_t matters: the detector of layer l at step t is not saturated. z_0's always matters.
  bool useful(int64_t t, int64_t b, int64_t l) {
    if (t < 0) return true;
    return rules::passes_gradient(at_[l].pre[t * B_ + b], slope_);
  }
  /// Whether dL/dz needs W x, or V h^, of a step that does not use it.
  bool wants_bottom_up(int64_t t, int64_t l, int64_t b) { return detect_ && l > 0 && useful(t, b, l - 1); }
  bool wants_top_down(int64_t t, int64_t l, int64_t b) { return has_detector(l) && useful(t - 1, b, l); }
  Term<T, P> term(const at::Tensor& raw, const at::Tensor& stats, int64_t i, int64_t width, const T* gain,
                  const T* bias) {
    Term<T, P> out{raw_row<P>(raw, i, width), {T(0), T(1)}, gain, bias};
    if (gain != nullptr) out.moments = *row_of<Moments<T>>(stats, i, 1);
    return out;
  }

  // hm_lstm_backward_boundaries.cpp
  void boundary_terms();
  void multiply_extra(ExtraProducts& extra, Product<P>& matrix, const std::vector<const P*>& x, T eps, bool norm);
  void boundary_row(int64_t t, int64_t l, int64_t b, int64_t thread);
  rules::Operation operation_of(int64_t t, int64_t l, int64_t b);

  // hm_lstm_backward_steps.cpp
  Term<T, P> top_down_term(int64_t l, int64_t t, int64_t b);
  struct Place {
    int64_t t, l;  ///< the row's next step, backwards; t = -1: none is left
  };
  void step_batch(int64_t l, int64_t m);
  void copy_until_active(int64_t b, int64_t thread);
  rules::BoundaryGradients<T> begin_step(int64_t t, int64_t l, int64_t b, int64_t thread);
  void end_step(int64_t l, int64_t b, const rules::BoundaryGradients<T>& z);
  void add_output_gradients(int64_t t, int64_t l, int64_t b);
  void prefetch_rows(int64_t l, int64_t now, RowPrefetch& prefetch);
  void update(int64_t l, int64_t now, int64_t thread, RowPrefetch* prefetch);
  void copy_boundary_gradients(int64_t t, int64_t l, int64_t b, int32_t k, int64_t thread,
                               rules::BoundaryGradients<T>& z);
  void table_sums(int64_t base, int64_t m);
  void add_masked_gradients(int64_t l, int64_t now, int64_t b);

  // hm_lstm_backward_gradients.cpp
  void finish_sums();
  void table_gradient();
  void input_boundary_gradient();
  void z0_gradient() const;

  const HMLSTMArguments& a_;
  const HMLSTMBackward& given_;
  const WindowResult& result_;
  const bool input_gradient_;
  const CellKernels<T, P>& k_;
  const int64_t T_, B_, L_, threads_;
  const BatchRows mine_;
  const bool collects_;  ///< whether it keeps the rows of the weight gradients, for weight_gradients()
  const T slope_;
  const bool detect_;
  const std::vector<LayerView<T>>& layers_;
  const at::TensorOptions &options_, &products_;  ///< of T and of P
  std::vector<LayerTape<T, P>> tape_;
  std::vector<Pointers> at_;
  std::vector<LayerState> layer_;
  std::vector<Place> place_;  ///< of each row
  WindowProducts<P>& weights_;
  BackwardWindow<T, P>& window_;
  HMLSTMGradients& g_;
  at::Tensor gradient_memory_;  ///< of all WeightGradients
  at::Tensor table_ds_;         ///< [V, 4d] Σ ds over the steps that read each row of the table
  at::Tensor scratch_, ds_;
  std::vector<T*> to_u_, to_w_, to_v_;  ///< destinations of a batch's transposed products
  at::Tensor masked_w_, masked_v_;      ///< [rows, widest] gradients of mask ⊙ h of the layers below and above
  const at::Tensor state_index_;        ///< int32 [L, T, B]
  const RecurrentDropout<T> dropout_;
  const LockedMask<T> mask_;
  const std::vector<int64_t> lengths_;  ///< [B], or empty
};

}  // namespace hmrnn::cpu
