#include "hmrnn/ops/cpu/hm_lstm_stream.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "hmrnn/ops/cpu/hm_lstm_window.h"
#include "hmrnn/ops/rules.h"

namespace hmrnn::cpu {

namespace {

/// y [rows] = M [rows, n] · x over the threads. At batch 1 a product reads each weight once: it is as fast as memory,
/// and a BLAS made for larger products is not.
template <class T>
void matrix_vector(const CellKernels<T>& k, int64_t rows, int64_t n, const T* m, const T* x, T* y) {
  constexpr int64_t worth_a_thread = 1 << 17;  // values of M
  const int64_t threads = std::min<int64_t>(at::get_num_threads(), rows * n / worth_a_thread);
  if (threads < 2) return k.matrix_vector(rows, n, m, x, y);
  const int64_t share = (rows + threads - 1) / threads;
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t from = std::min(rows, i * share), to = std::min(rows, from + share);
      k.matrix_vector(to - from, n, m + from * n, x, y + from);
    }
  });
}

template <class T>
class Stream final : public HMLSTMStream {
 public:
  explicit Stream(const HMLSTMArguments& a)
      : a_(a),
        k_(cell_kernels<T>()),
        L_(a.num_layers()),
        slope_(a.rule.slope.to(at::kCPU)),
        layers_(layer_views<T>(a)) {
    int64_t widest = 1;
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      h.push_back(a.window.h0[l].reshape({y.d}).clone());
      c.push_back(a.window.c0[l].reshape({y.d}).clone());
      top_down_.emplace_back(y.top() ? 0 : 4 * y.d);
      own_z_.push_back(y.top() ? T(0) : k_.dot(y.d, y.u_z(), at(h[l])));
      widest = std::max(widest, y.d);
    }
    z = a.window.z0.reshape({L_ - 1}).clone();
    changed.assign(L_, 0);
    top_down_known_.assign(L_, 0);
    top_down_moments_.resize(L_);
    recurrent_.resize(4 * widest);
    bottom_up_.resize(4 * widest);
    gates_.resize(4 * widest);
  }

  void step(const void* x, int64_t row, const void* given, const void* noise) override {
    const T* input = static_cast<const T*>(x);
    const First* first = nullptr;
    for (int64_t l = 0; given != nullptr && l + 1 < L_; ++l) {
      const T value = static_cast<const T*>(given)[l];
      TORCH_CHECK(value == T(0) || value == T(1), "hm_lstm: boundaries must be 0 or 1 everywhere, got ", value);
    }
    const T slope = given == nullptr ? static_cast<T>(slope_.item<double>()) : T(1);
    for (int64_t l = 0; l < L_; ++l) {
      const auto& y = layers_[l];
      T* zs = z.template data_ptr<T>();
      const auto [below, flush] = rules::operation<T>(l == 0 ? nullptr : zs + l - 1, y.top() ? nullptr : zs + l);
      changed[l] = below || flush;
      if (l == 0) first = &first_layer(input, row);
      T pre = T(0);
      if (!y.top() && given == nullptr) {
        pre = own_z_[l] + y.bias_z();
        if (flush) pre += k_.dot(y.above, y.v_z(), at(h[l + 1]));
        if (below) pre += l == 0 ? first->z : k_.dot(y.below, y.w_z(), at(h[l - 1]));
      }
      if (changed[l]) active(l, below, flush, *first);
      if (y.top()) continue;
      const T* draw = noise != nullptr ? static_cast<const T*>(noise) + l : nullptr;
      zs[l] = given != nullptr ? static_cast<const T*>(given)[l] : rules::decide(pre, slope, draw);
    }
  }

 private:
  /// W x of the first layer: 4d values, their moments, w_z · x.
  struct First {
    std::vector<T> raw;
    Moments<T> moments{T(0), T(1)};
    T z = T(0);
  };

  static T* at(const at::Tensor& x) { return static_cast<T*>(x.data_ptr()); }

  First& first_layer(const T* x, int64_t row) {
    constexpr int64_t remembered = 4096;  // characters and bytes all; of a vocabulary of words the most frequent
    if (row < 0 || row >= remembered) {
      multiply_input(x, once_);
      return once_;
    }
    if (row >= static_cast<int64_t>(table_.size())) table_.resize(row + 1);
    auto& entry = table_[row];
    if (entry.raw.empty()) multiply_input(x, entry);
    return entry;
  }

  void multiply_input(const T* x, First& to) {
    const auto& y = layers_[0];
    to.raw.resize(4 * y.d);
    matrix_vector(k_, 4 * y.d, y.below, y.bottom_up, x, to.raw.data());
    if (y.w_gain != nullptr) to.moments = k_.moments(4 * y.d, to.raw.data(), y.cell.eps, nullptr);
    if (!y.top()) to.z = k_.dot(y.below, y.w_z(), x);
  }

  void active(int64_t l, bool below, bool flush, const First& first) {
    const auto& y = layers_[l];
    const int64_t rows = 4 * y.d;
    const bool norm = y.u_gain != nullptr;
    // Their biases are in gate_bias.
    Term<T> u{recurrent_.data(), {T(0), T(1)}, y.u_gain, nullptr}, w, v;
    matrix_vector(k_, rows, y.d, y.recurrent, at(h[l]), recurrent_.data());
    if (norm) u.moments = k_.moments(rows, u.raw, y.cell.eps, nullptr);
    if (below && l == 0) {
      w = {first.raw.data(), first.moments, y.w_gain, nullptr};
    } else if (below) {
      matrix_vector(k_, rows, y.below, y.bottom_up, at(h[l - 1]), bottom_up_.data());
      w = {bottom_up_.data(), {T(0), T(1)}, y.w_gain, nullptr};
      if (norm) w.moments = k_.moments(rows, w.raw, y.cell.eps, nullptr);
    }
    if (flush) {
      if (!top_down_known_[l]) {
        matrix_vector(k_, rows, y.above, y.top_down, at(h[l + 1]), top_down_[l].data());
        if (norm) top_down_moments_[l] = k_.moments(rows, top_down_[l].data(), y.cell.eps, nullptr);
        top_down_known_[l] = 1;
      }
      v = {top_down_[l].data(), top_down_moments_[l], y.v_gain, nullptr};
    }
    k_.active_forward(y.d, u, w, v, y.gate_bias(below, flush), flush ? nullptr : at(c[l]), y.cell, gates_.data(),
                      at(c[l]), at(h[l]), nullptr);
    if (!y.top()) own_z_[l] = k_.dot(y.d, y.u_z(), at(h[l]));
    if (l > 0) top_down_known_[l - 1] = 0;
  }

  const HMLSTMArguments a_;  // keeps the parameters alive
  const CellKernels<T>& k_;
  const int64_t L_;
  const at::Tensor slope_;
  std::vector<LayerView<T>> layers_;
  std::vector<First> table_;
  First once_;
  std::vector<std::vector<T>> top_down_;  // V h^ of each layer but the top
  std::vector<char> top_down_known_;      // it is that of the present state above
  std::vector<Moments<T>> top_down_moments_;
  std::vector<T> own_z_;  // u_z · h of the present state
  std::vector<T> recurrent_, bottom_up_, gates_;
};

}  // namespace

std::unique_ptr<HMLSTMStream> make_stream(const HMLSTMArguments& arguments) {
  const auto a = contiguous(arguments);
  check_hard_boundaries(a);
  if (a.window.h0[0].scalar_type() == at::kDouble) return std::make_unique<Stream<double>>(a);
  return std::make_unique<Stream<float>>(a);
}

}  // namespace hmrnn::cpu
