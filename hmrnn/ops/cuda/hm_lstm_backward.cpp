// The backward pass over a window (hm_lstm_window.h): the steps, from the last to the first, then the gradients of
// parameters and input.

#include "hmrnn/ops/cuda/hm_lstm_window.h"

namespace hmrnn::cuda {

namespace {

template <class T, class P>
class Backward : Window<T, P> {
  using Base = Window<T, P>;
  using Base::a_, Base::B_, Base::input_, Base::L_, Base::layers_, Base::masked, Base::masks_, Base::options_, Base::T_,
      Base::tape_;

  struct LayerState {
    at::Tensor dh, dc;         // [B, d]
    at::Tensor through;        // [parts, B, d]
    at::Tensor d_products;     // [T+1, B, width] of the operands' type, laid out as the products
    at::Tensor d_dots;         // [T+1, B, 3]
    at::Tensor sums, scratch;  // [B, …], [B, 6d]
    at::Tensor grad_h;
  };

 public:
  Backward(const HMLSTMArguments& a, const HMLSTMBackward& given, WindowKernels<T, P>& kernels)
      : Base(a),
        result_(given.result),
        kernels_(kernels),
        detect_(a.detect() && a.num_layers() > 1),
        wants_input_gradient_(given.input_gradient) {
    const auto& saved = given.saved;
    const auto operand = options_.dtype(c10::CppTypeToScalarType<P>::value);
    input_ = InputTape::from(saved, L_);
    state_index_ = saved.back();
    if (given.grad_z.defined() && detect_) grad_z_ = given.grad_z.contiguous();
    if (detect_) dz_ = at::zeros({B_, L_ - 1}, options_);
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      const int64_t d = y.units;
      tape_.push_back(LayerTape::from(saved, l));
      columns_.emplace_back(d, a.layer_norm());
      auto& s = layer_.emplace_back();
      s.dh = at::zeros({B_, d}, options_);
      const auto& grad_c_n = given.grad_c_n[l];
      s.dc = grad_c_n.defined() ? grad_c_n.clone(at::MemoryFormat::Contiguous) : at::zeros({B_, d}, options_);
      // No step reads W h of the initial state, nor U h and V h of the last: these parts stay 0.
      s.d_products = at::empty({T_ + 1, B_, y.width}, operand);
      s.d_products.select(0, 0).zero_();
      s.d_products.select(0, T_).zero_();
      s.d_dots = at::zeros({detect_ ? T_ + 1 : 0, B_, kProducts}, options_);
      s.sums = at::zeros({B_, columns_[l].width}, options_);
      s.scratch = at::empty({B_, 6 * d}, options_);
      if (given.grad_h[l].defined()) s.grad_h = given.grad_h[l].contiguous();
    }
    d_input_ = at::empty({T_, B_, 4 * layers_[0].units}, operand);
    d_input_dots_ = at::empty({detect_ ? T_ : 0, B_}, options_);
  }

  HMLSTMGradients run() {
    plan_all();
    const auto chip = chip_plan(plans_, T_, B_, false, masked() ? ChipDevice() : kernels_.chip());
    for (int64_t l = 0; l < L_; ++l) {
      auto& p = plans_[l];
      p.parts = chip ? chip->product[l].parts : masked() ? 2 : 1;
      layer_[l].through = at::empty({p.parts, B_, p.shape.units}, options_);
      p.through = data<T>(layer_[l].through);
    }
    if (chip) {
      kernels_.window_backward(persistent(plan_, plans_, tape_, *chip));
    } else {
      step_by_step();
    }
    return finish();
  }

 private:
  void plan_all() {
    this->plan_window(plan_, result_.z, true);
    plan_.layer_norm = a_.layer_norm();
    if (detect_) plan_.dz = data<T>(dz_);
    plan_.grad_z = data_or_null<T>(grad_z_);
    plan_.d_input = data<P>(d_input_);
    plan_.d_input_dots = data_or_null<T>(d_input_dots_);
    plans_.resize(L_);
    for (int64_t l = 0; l < L_; ++l) {
      const auto& own = layer_[l];
      auto& p = plans_[l];
      this->plan_layer(p, l, state_index_);
      p.columns = columns_[l];
      p.d_products = data<P>(own.d_products);
      p.d_dots = data_or_null<T>(own.d_dots);
      p.grad_h = data_or_null<T>(own.grad_h);
      p.wide = p.wide && aligned({p.grad_h});
      p.dh = data<T>(own.dh);
      p.dc = data<T>(own.dc);
      p.sums = data<T>(own.sums);
      p.scratch = data<T>(own.scratch);
    }
    plan_.layer = plans_.data();
  }

  void step_by_step() {
    std::vector<std::function<void()>> products;
    std::vector<StepBackward<T, P>> steps;
    for (int64_t wave = waves(T_, L_) - 1; wave >= 0; --wave) {
      products.clear(), steps.clear();
      each_step(wave, T_, L_, [&](int64_t t, int64_t l) {
        if (plan_.read_later(t, l)) multiply_gradients(l, t + 1, products);
        steps.push_back(backward_step(plan_, t, l));
      });
      kernels_.side_by_side(products);
      if (!steps.empty()) kernels_.step_backward(steps);
    }
  }

  /// Adds to `work` the products that compute dL/dh after s steps. Without a mask this is one, into the first part;
  /// under a mask one through U into the first part, and one of mask ⊙ h through W and V into the second.
  void multiply_gradients(int64_t l, int64_t s, std::vector<std::function<void()>>& work) {
    const int64_t width = layers_[l].width, own = masked() ? layers_[l].bottom_up : width;
    const auto part = [this, l, s, &work](int64_t to, int64_t first, int64_t columns) {
      work.push_back([this, l, s, to, first, columns] {
        multiply(layer_[l].through.select(0, to), layer_[l].d_products.select(0, s).narrow(1, first, columns),
                 tape_[l].weights.narrow(0, first, columns));
      });
    };
    part(0, 0, own);
    if (own < width) part(1, own, width - own);
  }

  /// [width, d] gradients of the weights that read the states of layer l.
  at::Tensor weight_gradient(int64_t l) {
    const auto& tape = tape_[l];
    const int64_t n = (T_ + 1) * B_, width = layers_[l].width, d = layers_[l].units, own = layers_[l].bottom_up;
    const auto d_products = layer_[l].d_products.view({n, width}).t(), h = tape.h_operand.view({n, d});
    if (!masked()) return product(d_products, h, options_);
    return at::cat({product(d_products.narrow(0, 0, own), h, options_),
                    product(d_products.narrow(0, own, width - own), tape.shown.view({n, d}), options_)});
  }

  HMLSTMGradients finish() {
    HMLSTMGradients g;
    std::vector<at::Tensor> weights, rows;  // of the products of each layer's states, and of their boundary rows
    for (int64_t l = 0; l < L_; ++l) {
      auto& s = layer_[l];
      const auto& tape = tape_[l];
      const int64_t n = (T_ + 1) * B_, d = layers_[l].units;
      std::vector<std::function<void()>> products;
      multiply_gradients(l, 0, products);
      for (const auto& piece : products) piece();
      s.dh.add_(s.through.select(0, 0));
      if (masked()) s.dh.addcmul_(masks_[l], s.through.select(0, 1));
      weights.push_back(weight_gradient(l));
      rows.emplace_back();
      if (detect_) {
        s.dh.addmm_(s.d_dots.select(0, 0), tape.boundary_rows);
        rows.back() = at::mm(s.d_dots.view({n, kProducts}).t(), tape.h.view({n, d}));
      }
      g.window.h0.push_back(s.dh);
      g.window.c0.push_back(s.dc);
    }
    if (detect_) g.window.z0 = dz_;
    at::Tensor input_weight, input_row;
    first_layer_gradients(g.window.input, input_weight, input_row);
    const auto gradient = [&](int64_t l, at::Tensor gates, const at::Tensor& row, Product which) {
      const bool has_row = !layers_[l].top();
      if (!has_row) return gates.clone();
      auto boundary = !detect_         ? at::zeros({1, gates.size(1)}, options_)
                      : row.dim() == 1 ? row.unsqueeze(0)
                                       : row.narrow(0, which, 1);
      return at::cat({gates, boundary});
    };
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      const int64_t d4 = 4 * y.units;
      auto& of = g.layers.emplace_back();
      of.recurrent = gradient(l, weights[l].narrow(0, 0, d4), rows[l], kRecurrent);
      of.bottom_up = y.first
                         ? gradient(l, input_weight, input_row, kBottomUp)
                         : gradient(l, weights[l - 1].narrow(0, layers_[l - 1].bottom_up, d4), rows[l - 1], kBottomUp);
      if (!y.top()) {
        of.top_down = gradient(l, weights[l + 1].narrow(0, layers_[l + 1].top_down, d4), rows[l + 1], kTopDown);
      }
      sums(l, of);
    }
    return g;
  }

  /// Gradients of the bias and of the layer norms of layer l.
  void sums(int64_t l, LayerParameters& g) {
    const auto& y = layers_[l];
    const auto& at = columns_[l];
    const int64_t d = y.units;
    const auto total = layer_[l].sums.sum(0);
    const auto part = [&](int64_t begin, int64_t n) { return total.narrow(0, begin, n).clone(); };
    auto bias = part(at.bias, 4 * d);
    if (!y.top()) {
      const auto boundary = detect_ ? layer_[l].d_dots.select(2, kRecurrent).sum().view({1}) : at::zeros({1}, options_);
      bias = at::cat({bias, boundary});
    }
    g.bias = bias;
    if (!a_.layer_norm()) return;
    const auto norm = [&](int64_t gain, int64_t b, int64_t n) { return NormParameters{part(gain, n), part(b, n)}; };
    g.recurrent_norm = norm(at.gain[kRecurrent], at.bias, 4 * d);
    g.bottom_up_norm = norm(at.gain[kBottomUp], at.shift[kBottomUp], 4 * d);
    if (!y.top()) g.top_down_norm = norm(at.gain[kTopDown], at.shift[kTopDown], 4 * d);
    g.cell_norm = norm(at.cell_gain, at.cell_bias, d);
  }

  /// Gradients of the first layer's input (table or sequence; only where it is needed), of the gate rows of its
  /// matrix, and of its boundary row.
  void first_layer_gradients(at::Tensor& input, at::Tensor& weight, at::Tensor& boundary_row) {
    const auto& y = layers_[0];
    const int64_t d4 = 4 * y.units, n = T_ * B_;
    const bool row = detect_ && !y.top();
    auto d_products = d_input_.view({n, d4});
    auto d_dots = row ? d_input_dots_.view({n}) : at::Tensor();
    if (a_.indexed()) {
      d_products =
          sum_by_row<P>(d_products, [&](const SumRows<T, P>& s) { kernels_.sum_rows(s); }).to(d_products.scalar_type());
      if (row) {
        d_dots =
            sum_by_row<T>(d_dots.view({n, 1}), [&](const SumRows<T, T>& s) { kernels_.sum_scalars(s); }).view({-1});
      }
    }
    if (wants_input_gradient_) input = product(d_products, input_.weights, options_);
    weight = product(d_products.t(), input_.operand, options_);
    if (row) {
      const auto x = a_.window.input.detach().reshape({-1, y.below});
      if (wants_input_gradient_) input.addr_(d_dots, a_.layers[0].bottom_up.select(0, d4));
      boundary_row = at::mv(x.t(), d_dots);
    }
    if (wants_input_gradient_) input = input.view(a_.window.input.sizes());
  }

  /// Rows of the steps [T·B, width] → of the table [V, width].
  template <class Q, class Run>
  at::Tensor sum_by_row(const at::Tensor& rows, Run run) {
    constexpr int64_t rows_a_segment = 16;  // steps per row of the table and segment, on average
    SumRows<T, Q> s;
    s.rows = data<Q>(rows);
    s.index = a_.window.index.template const_data_ptr<int64_t>();
    s.n = rows.size(0);
    s.width = rows.size(1);
    s.table = a_.window.input.size(0);
    s.segments = std::max<int64_t>(1, std::min<int64_t>(16, s.n / (rows_a_segment * s.table)));
    auto out = at::empty({s.segments, s.table, s.width}, options_);
    s.out = data<T>(out);
    run(s);
    return s.segments == 1 ? out.select(0, 0) : out.sum(0);
  }

  const WindowResult& result_;
  WindowKernels<T, P>& kernels_;
  const bool detect_, wants_input_gradient_;
  std::vector<LayerState> layer_;
  std::vector<SumColumns> columns_;
  BackwardPlan<T, P> plan_;
  std::vector<LayerBackwardPlan<T, P>> plans_;
  at::Tensor dz_, grad_z_, d_input_, d_input_dots_, state_index_;
};

}  // namespace

template <class T, class P>
HMLSTMGradients window_backward(const HMLSTMArguments& a, const HMLSTMBackward& given, WindowKernels<T, P>& kernels) {
  return Backward<T, P>(a, given, kernels).run();
}

#define HMRNN_INSTANTIATE(T, P) \
  template HMLSTMGradients window_backward(const HMLSTMArguments&, const HMLSTMBackward&, WindowKernels<T, P>&);
HMRNN_INSTANTIATE(float, float)
HMRNN_INSTANTIATE(double, double)
HMRNN_INSTANTIATE(float, c10::BFloat16)
#undef HMRNN_INSTANTIATE

}  // namespace hmrnn::cuda
