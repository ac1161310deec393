// The forward pass over a window (hm_lstm_window.h).

#include "hmrnn/ops/cuda/hm_lstm_window.h"

namespace hmrnn::cuda {

namespace {

template <class T, class P>
class Forward : Window<T, P> {
  using Base = Window<T, P>;
  using Base::a_, Base::B_, Base::input_, Base::L_, Base::layers_, Base::masked, Base::masks_, Base::options_, Base::T_,
      Base::tape_;

 public:
  Forward(const HMLSTMArguments& a, bool training, WindowKernels<T, P>& kernels)
      : Base(a), training_(training), kernels_(kernels) {
    // Whether the detector is computed: not for boundaries that are given and take no gradient.
    detect_ = L_ > 1 && (!a.rule.given.defined() || (training && a.rule.boundary_gradient));
    operand_ = options_.dtype(c10::CppTypeToScalarType<P>::value);
    z_ = at::empty({T_, B_, L_ - 1}, options_);
    state_index_ = at::empty({L_, T_, B_}, options_.dtype(at::kInt));
    for (int64_t l = 0; l < L_; ++l) allocate(l);
    check_values();
    input_product();
  }

  HMLSTMForward run() {
    plan_all();
    if (const auto chip = chip_plan(plans_, T_, B_, true, masked() ? ChipDevice() : kernels_.chip())) {
      kernels_.window_forward(persistent(plan_, plans_, tape_, *chip));
    } else {
      step_by_step();
    }
    HMLSTMForward out;
    for (int64_t l = 0; l < L_; ++l) {
      out.result.h.push_back(tape_[l].h.narrow(0, 1, T_));
      out.result.c_n.push_back(tape_[l].c.select(0, plan_.slot(T_)).clone());
      if (training_) {
        for (auto& x : tape_[l].list()) out.saved.push_back(x);
      }
    }
    if (training_) {
      for (auto& x : input_.list()) out.saved.push_back(x);
      out.saved.push_back(state_index_);
    }
    out.result.z = z_;
    out.result.state_index = state_index_;
    return out;
  }

 private:
  void allocate(int64_t l) {
    const auto& y = layers_[l];
    const int64_t d = y.units, slots = training_ ? T_ + 1 : 2, steps = training_ ? T_ : 1;
    auto& tape = tape_.emplace_back();
    tape.weights = at::empty({y.width, d}, operand_);
    tape.weights.narrow(0, 0, 4 * d).copy_(a_.layers[l].recurrent.narrow(0, 0, 4 * d));
    if (!y.top()) {
      tape.weights.narrow(0, y.bottom_up, 4 * y.above).copy_(a_.layers[l + 1].bottom_up.narrow(0, 0, 4 * y.above));
    }
    if (!y.first)
      tape.weights.narrow(0, y.top_down, 4 * y.below).copy_(a_.layers[l - 1].top_down.narrow(0, 0, 4 * y.below));
    tape.h = at::empty({T_ + 1, B_, d}, options_);
    tape.h.select(0, 0).copy_(a_.window.h0[l]);
    tape.h_operand = tape.h;
    if (Base::kOwnOperand) {
      tape.h_operand = at::empty({slots, B_, d}, operand_);
      tape.h_operand.select(0, 0).copy_(a_.window.h0[l]);
    }
    tape.shown = at::empty({masked() ? slots : 0, B_, d}, operand_);
    if (masked()) tape.shown.select(0, 0).copy_(a_.window.h0[l] * masks_[l]);
    tape.c = at::empty({slots, B_, d}, options_);
    tape.c.select(0, 0).copy_(a_.window.c0[l]);
    tape.products = at::empty({slots, B_, y.width}, options_);
    tape.gates = at::empty({steps, B_, 4 * d}, options_);
    tape.term_moments = at::empty({steps, B_, kProducts, 2}, options_);
    tape.cell_moments = at::empty({steps, B_, 2}, options_);
    tape.pre = at::empty({training_ && detect_ && !y.top() ? T_ * B_ : 0}, options_);
    tape.boundary_rows = at::zeros({detect_ ? kProducts : 0, d}, options_);
    tape.dots = at::empty({detect_ ? slots : 0, B_, kProducts}, options_);
    if (!detect_) return;
    if (!y.top()) {
      tape.boundary_rows.select(0, kRecurrent).copy_(a_.layers[l].recurrent.select(0, 4 * d));
      if (l + 2 < L_) tape.boundary_rows.select(0, kBottomUp).copy_(a_.layers[l + 1].bottom_up.select(0, 4 * y.above));
    }
    if (!y.first) tape.boundary_rows.select(0, kTopDown).copy_(a_.layers[l - 1].top_down.select(0, 4 * y.below));
    BoundaryProducts<T> products;
    products.batch = B_;
    products.units = d;
    products.wide = d % 4 == 0;
    products.h = data<T>(tape.h);
    products.boundary_rows = data<T>(tape.boundary_rows);
    products.dots = data<T>(tape.dots);
    kernels_.boundary_products(products);
  }

  /// What check_index and check_hard_boundaries check on a CPU. The error is reported by the device: the host does not
  /// wait.
  void check_values() {
    const auto& w = a_.window;
    if (a_.indexed()) {
      at::_assert_async(w.index.ge(0).logical_and_(w.index.lt(w.input.size(0))).all(),
                        "hm_lstm: index must lie in [0, rows of the table)");
    }
    assert_hard("hm_lstm", "z0", w.z0);
    if (a_.rule.given.defined()) assert_hard("hm_lstm", "boundaries", a_.rule.given);
  }

  /// W x of the first layer: one product over the table, or over the whole sequence.
  void input_product() {
    const auto& y = layers_[0];
    const auto x = a_.window.input.detach().reshape({-1, y.below});
    input_.operand = x.to(operand_.dtype().toScalarType());
    input_.weights = a_.layers[0].bottom_up.narrow(0, 0, 4 * y.units).to(operand_.dtype().toScalarType());
    input_.product = product(input_.operand, input_.weights.t(), options_);
    input_.dots = at::empty({0}, options_);
    if (detect_ && !y.top()) input_.dots = at::mv(x, a_.layers[0].bottom_up.select(0, 4 * y.units));
  }

  void plan_all() {
    this->plan_window(plan_, z_, training_);
    plan_.every_moment = training_ && a_.detect() && L_ > 1;
    if (a_.rule.given.defined()) plan_.given = a_.rule.given.template const_data_ptr<T>();
    if (a_.rule.noise.defined()) plan_.noise = a_.rule.noise.template const_data_ptr<T>();
    plans_.resize(L_);
    for (int64_t l = 0; l < L_; ++l) {
      this->plan_layer(plans_[l], l, state_index_);
      if (Base::kOwnOperand) plans_[l].h_operand = data<P>(tape_[l].h_operand);
      plans_[l].shown = data_or_null<P>(tape_[l].shown);
    }
    plan_.layer = plans_.data();
  }

  void step_by_step() {
    std::vector<std::function<void()>> products;
    std::vector<StepForward<T, P>> steps;
    for (int64_t l = 0; l < L_; ++l) multiply_state(l, 0, products);
    kernels_.side_by_side(products);
    for (int64_t wave = 0; wave < waves(T_, L_); ++wave) {
      products.clear(), steps.clear();
      each_step(wave, T_, L_, [&](int64_t t, int64_t l) {
        steps.push_back(forward_step(plan_, t, l));
        if (plan_.read_later(t, l)) multiply_state(l, t + 1, products);
      });
      if (!steps.empty()) kernels_.step_forward(steps);
      kernels_.side_by_side(products);
    }
  }

  /// Adds the products of the state after s steps to `work`.
  void multiply_state(int64_t l, int64_t s, std::vector<std::function<void()>>& work) {
    const int64_t width = layers_[l].width, own = masked() ? layers_[l].bottom_up : width;
    work.push_back([this, l, s, own] {
      multiply_columns(l, s, tape_[l].h_operand.select(0, Base::kOwnOperand ? plan_.slot(s) : s), 0, own);
    });
    if (own == width) return;
    work.push_back([this, l, s, own, width] {
      multiply_columns(l, s, tape_[l].shown.select(0, plan_.slot(s)), own, width - own);
    });
  }
  void multiply_columns(int64_t l, int64_t s, const at::Tensor& operand, int64_t first, int64_t columns) {
    const auto& tape = tape_[l];
    multiply(tape.products.select(0, plan_.slot(s)).narrow(1, first, columns), operand,
             tape.weights.narrow(0, first, columns).t());
  }

  const bool training_;
  WindowKernels<T, P>& kernels_;
  bool detect_ = false;
  at::TensorOptions operand_;
  at::Tensor z_, state_index_;
  ForwardPlan<T, P> plan_;
  std::vector<LayerForwardPlan<T, P>> plans_;
};

}  // namespace

template <class T, class P>
HMLSTMForward window_forward(const HMLSTMArguments& a, bool training, WindowKernels<T, P>& kernels) {
  return Forward<T, P>(a, training, kernels).run();
}

template HMLSTMForward window_forward(const HMLSTMArguments&, bool, WindowKernels<float, float>&);
template HMLSTMForward window_forward(const HMLSTMArguments&, bool, WindowKernels<double, double>&);
template HMLSTMForward window_forward(const HMLSTMArguments&, bool, WindowKernels<float, c10::BFloat16>&);

}  // namespace hmrnn::cuda
