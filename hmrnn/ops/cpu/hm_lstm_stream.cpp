#include "hmrnn/ops/cpu/hm_lstm_stream.h"

#include <algorithm>
#include <array>
#include <mutex>

#include "hmrnn/ops/cpu/hm_lstm_window.h"
#include "hmrnn/ops/cpu/thread_team.h"
#include "hmrnn/ops/cpu/unpacked_product.h"
#include "hmrnn/ops/hm_lstm_schema.h"
#include "hmrnn/ops/rules.h"

namespace hmrnn::cpu {

namespace {

/// W x of the first layer: 4d values, their moments, w_z · x.
template <class T>
struct InputProduct {
  const T* raw = nullptr;
  Moments<T> moments{T(0), T(1)};
  T z = T(0);
};

/// Shared by streams that were gathered from one another: the parameters, and W x of the table's rows that occurred.
template <class T>
struct Shared {
  static constexpr int64_t kRemembered = 4096;  // all characters or bytes; of sorted words the most frequent

  struct Entry {
    AlignedVector<T> raw;
    InputProduct<T> product;
  };

  explicit Shared(HMLSTMArguments arguments)
      : a(std::move(arguments)), slope(a.rule.slope.to(at::kCPU)), layers(layer_views<T>(a)) {}

  const HMLSTMArguments a;  // keeps the parameters alive
  const at::Tensor slope;
  const std::vector<LayerView<T>> layers;
  std::mutex mutex;                             // guards `table`: the streams may be on several threads
  std::vector<std::unique_ptr<Entry>> table{};  // complete and constant while the mutex is free
};

/// The products of one matrix in a step.
template <class T>
struct Operands {
  std::vector<const T*> x;
  std::vector<T*> y;

  void clear() { x.clear(), y.clear(); }
  void add(const T* from, T* to) { x.push_back(from), y.push_back(to); }
  UnpackedProduct<T> of(int64_t rows, int64_t n, const T* matrix) const {
    return {rows, n, matrix, static_cast<int64_t>(x.size()), x.data(), y.data()};
  }
};

template <class T>
class Stream final : public HMLSTMStream {
 public:
  Stream(std::shared_ptr<Shared<T>> shared, int64_t batch)
      : shared_(std::move(shared)),
        layers_(shared_->layers),
        k_(cell_kernels<T>()),
        B_(batch),
        L_(static_cast<int64_t>(layers_.size())),
        top_down_known_(L_ * B_, 0),
        own_z_(L_ * B_, T(0)),
        operations_(B_),
        input_(B_) {
    const auto options = at::TensorOptions(c10::CppTypeToScalarType<T>::value);
    for (const auto& y : layers_) {
      h.push_back(at::empty({B_, y.d}, options));
      c.push_back(at::empty({B_, y.d}, options));
      h_.push_back(h.back().template data_ptr<T>());
      c_.push_back(c.back().template data_ptr<T>());
      top_down_.emplace_back(y.top() ? 0 : B_ * row_stride<T>(4 * y.d));
      top_down_moments_.emplace_back(y.top() ? 0 : B_);
      widest_ = std::max(widest_, y.d);
    }
    z = at::empty({B_, L_ - 1}, options);
    z_ = z.template data_ptr<T>();
    changed.assign(L_ * B_, 0);
    for (auto* raw : {&recurrent_, &bottom_up_}) raw->resize(B_ * stride());
    for (auto* operands : {&u_, &w_, &v_}) operands->x.reserve(B_), operands->y.reserve(B_);
    active_.reserve(B_);
  }

  /// From h0, c0, z0
  void start(const WindowInput& window) {
    for (int64_t l = 0; l < L_; ++l) {
      h[l].copy_(window.h0[l]);
      c[l].copy_(window.c0[l]);
      for (int64_t b = 0; b < B_ && !layers_[l].top(); ++b)
        own_z(l, b) = k_.dot(layers_[l].d, layers_[l].u_z(), h_at(l, b));
    }
    z.copy_(window.z0);
  }

  std::unique_ptr<HMLSTMStream> gather(const std::vector<Row>& rows) const override {
    auto out = std::make_unique<Stream>(shared_, static_cast<int64_t>(rows.size()));
    for (int64_t b = 0; b < out->B_; ++b) out->take(b, static_cast<const Stream&>(*rows[b].first), rows[b].second);
    return out;
  }

  void step(const void* x, const int64_t* rows, const void* given, const void* noise) override {
    const T* boundaries = static_cast<const T*>(given);
    for (int64_t i = 0; given != nullptr && i < B_ * (L_ - 1); ++i) {
      TORCH_CHECK(boundaries[i] == T(0) || boundaries[i] == T(1), "hm_lstm: boundaries must be 0 or 1 everywhere, got ",
                  boundaries[i]);
    }
    const Decision decision{boundaries, static_cast<const T*>(noise),
                            given == nullptr ? static_cast<T>(shared_->slope.template item<double>()) : T(1)};
    const auto work = [&] {
      multiply_input(static_cast<const T*>(x), rows);
      for (int64_t l = 0; l < L_; ++l) step_layer(l, decision);
    };
    // One parallel region instead of two for each layer and the input: beside a busy process each may wait for a thread
    // that is not running. The lowest layer multiplies its h in every step.
    const int64_t d = layers_[0].d;
    if (B_ * 4 * d * d < 2 * kWorthAThread) {
      work();
    } else {
      with_team(work, kStreamSpin);
    }
  }

 private:
  /// What decides the boundaries of a step.
  struct Decision {
    const T *given, *noise;  // [B, L-1], or null
    T slope;
  };

  int64_t stride() const { return row_stride<T>(4 * widest_); }
  T* h_at(int64_t l, int64_t b) { return h_[l] + b * layers_[l].d; }
  T* c_at(int64_t l, int64_t b) { return c_[l] + b * layers_[l].d; }
  T* z_at(int64_t l, int64_t b) { return z_ + b * (L_ - 1) + l; }
  T& own_z(int64_t l, int64_t b) { return own_z_[l * B_ + b]; }
  char& top_down_known(int64_t l, int64_t b) { return top_down_known_[l * B_ + b]; }
  T* top_down_at(int64_t l, int64_t b) { return top_down_[l].data() + b * row_stride<T>(4 * layers_[l].d); }

  /// Copies row `from` of `other` to row b.
  void take(int64_t b, const Stream& other, int64_t from) {
    for (int64_t l = 0; l < L_; ++l) {
      const int64_t d = layers_[l].d, of = l * other.B_ + from, raw = row_stride<T>(4 * d);
      copy_row(h_at(l, b), other.h_[l] + from * d, d);
      copy_row(c_at(l, b), other.c_[l] + from * d, d);
      changed[l * B_ + b] = other.changed[of];
      own_z(l, b) = other.own_z_[of];
      top_down_known(l, b) = other.top_down_known_[of];
      if (!top_down_known(l, b)) continue;
      copy_row(top_down_at(l, b), other.top_down_[l].data() + from * raw, 4 * d);
      top_down_moments_[l][b] = other.top_down_moments_[l][from];
    }
    if (L_ > 1) copy_row(z_at(0, b), other.z_ + from * (L_ - 1), L_ - 1);
  }

  /// Fills input_: W x of the first layer, which every step of every row needs.
  void multiply_input(const T* x, const int64_t* rows) {
    const auto& y = layers_[0];
    w_.clear();
    std::unique_lock lock(shared_->mutex, std::defer_lock);
    if (rows != nullptr) lock.lock();
    auto& table = shared_->table;
    fresh_.clear();
    for (int64_t b = 0; b < B_; ++b) {
      const int64_t row = rows != nullptr && rows[b] < Shared<T>::kRemembered ? rows[b] : -1;
      if (row >= static_cast<int64_t>(table.size())) table.resize(row + 1);
      if (row >= 0 && table[row] != nullptr) continue;
      T* to = bottom_up_.data() + b * stride();
      if (row >= 0) {
        table[row] = std::make_unique<typename Shared<T>::Entry>();
        table[row]->raw.resize(4 * y.d);
        table[row]->product.raw = to = table[row]->raw.data();
        fresh_.emplace_back(b, &table[row]->product);
      } else {
        input_[b].raw = to;
        fresh_.emplace_back(b, &input_[b]);
      }
      w_.add(x + b * y.below, to);
    }
    const std::array<UnpackedProduct<T>, 1> product{w_.of(4 * y.d, y.below, y.bottom_up)};
    multiply<T>(product);
    const auto fresh = static_cast<int64_t>(fresh_.size());
    for_rows(fresh, fresh * (4 * y.d + y.below), [&](int64_t i, int64_t) {
      auto& [b, of] = fresh_[i];
      if (y.w_gain != nullptr) of->moments = k_.moments(4 * y.d, of->raw, y.cell.eps, nullptr);
      if (!y.top()) of->z = k_.dot(y.below, y.w_z(), x + b * y.below);
    });
    for (int64_t b = 0; rows != nullptr && b < B_; ++b) {
      if (rows[b] >= 0 && rows[b] < Shared<T>::kRemembered) input_[b] = table[rows[b]]->product;
    }
  }

  /// The step of layer l for all rows.
  void step_layer(int64_t l, const Decision& decision) {
    const auto& y = layers_[l];
    active_.clear(), u_.clear(), v_.clear(), w_.clear();
    for (int64_t b = 0; b < B_; ++b) {
      const auto operation = operations_[b] =
          rules::operation<T>(l == 0 ? nullptr : z_at(l - 1, b), y.top() ? nullptr : z_at(l, b));
      changed[l * B_ + b] = operation.active();
      if (!operation.active()) {
        decide(l, b, decision);
        continue;
      }
      active_.push_back(b);
      u_.add(h_at(l, b), recurrent_.data() + b * stride());
      if (operation.bottom_up && l > 0) w_.add(h_at(l - 1, b), bottom_up_.data() + b * stride());
      if (operation.flush && !top_down_known(l, b)) v_.add(h_at(l + 1, b), top_down_at(l, b));
    }
    const auto active = static_cast<int64_t>(active_.size()), rows = 4 * y.d;
    if (active == 0) return;
    const std::array<UnpackedProduct<T>, 3> products{u_.of(rows, y.d, y.recurrent), w_.of(rows, y.below, y.bottom_up),
                                                     v_.of(rows, y.above, y.top_down)};
    multiply<T>(products);
    const auto gates = static_cast<size_t>(std::min(active, usable_threads()) * rows);
    if (gates_.size() < gates) gates_.resize(gates);
    for_row_ranges(active, 5 * active * y.d, [&](int64_t begin, int64_t end, int64_t thread) {
      for (int64_t i = begin; i < end; ++i) {
        RowPrefetch prefetch;
        if (i + 1 < end) prefetch_row(l, active_[i + 1], prefetch);
        change(l, active_[i], decision, gates_.data() + thread * rows, prefetch);
      }
    });
  }

  /// z of layer l, before its state changes
  void decide(int64_t l, int64_t b, const Decision& decision) {
    const auto& y = layers_[l];
    if (y.top()) return;
    if (decision.given != nullptr) {
      *z_at(l, b) = decision.given[b * (L_ - 1) + l];
      return;
    }
    const auto& operation = operations_[b];
    T pre = own_z(l, b) + y.bias_z();
    if (operation.flush) pre += k_.dot(y.above, y.v_z(), h_at(l + 1, b));
    if (operation.bottom_up) pre += l == 0 ? input_[b].z : k_.dot(y.below, y.w_z(), h_at(l - 1, b));
    *z_at(l, b) =
        rules::decide(pre, decision.slope, decision.noise != nullptr ? decision.noise + b * (L_ - 1) + l : nullptr);
  }

  /// What change() will read and write, in that order.
  void prefetch_row(int64_t l, int64_t b, RowPrefetch& prefetch) {
    const int64_t d = layers_[l].d;
    const auto& operation = operations_[b];
    prefetch.add(recurrent_.data() + b * stride(), 4 * d);
    if (operation.bottom_up) prefetch.add(l == 0 ? input_[b].raw : bottom_up_.data() + b * stride(), 4 * d);
    if (operation.flush) prefetch.add(top_down_at(l, b), 4 * d);
    prefetch.add(c_at(l, b), d);
    prefetch.add(h_at(l, b), d);
  }

  /// UPDATE or FLUSH of a row, after the products. `gates`: 4d values
  void change(int64_t l, int64_t b, const Decision& decision, T* gates, RowPrefetch& prefetch) {
    const auto& y = layers_[l];
    const auto operation = operations_[b];
    const bool norm = y.u_gain != nullptr;
    decide(l, b, decision);
    // The norms' biases are in gate_bias.
    const auto term = [&](const T* raw, const T* gain) {
      return Term<T>{raw, norm ? k_.moments(4 * y.d, raw, y.cell.eps, &prefetch) : Moments<T>{T(0), T(1)}, gain,
                     nullptr};
    };
    const auto u = term(recurrent_.data() + b * stride(), y.u_gain);
    Term<T> w, v;
    if (operation.bottom_up && l == 0) {
      w = {input_[b].raw, input_[b].moments, y.w_gain, nullptr};
    } else if (operation.bottom_up) {
      w = term(bottom_up_.data() + b * stride(), y.w_gain);
    }
    if (operation.flush && !top_down_known(l, b)) {
      v = term(top_down_at(l, b), y.v_gain);
      top_down_moments_[l][b] = v.moments;
      top_down_known(l, b) = 1;
    } else if (operation.flush) {
      v = {top_down_at(l, b), top_down_moments_[l][b], y.v_gain, nullptr};
    }
    T *c_row = c_at(l, b), *h_row = h_at(l, b);
    k_.active_forward(y.d, u, w, v, y.gate_bias(operation.bottom_up, operation.flush),
                      operation.flush ? nullptr : c_row, y.cell, gates, c_row, h_row, &prefetch);
    if (!y.top()) own_z(l, b) = k_.dot(y.d, y.u_z(), h_row);
    if (l > 0) top_down_known(l - 1, b) = 0;
  }

  const std::shared_ptr<Shared<T>> shared_;
  const std::vector<LayerView<T>>& layers_;
  const CellKernels<T>& k_;
  const int64_t B_, L_;
  int64_t widest_ = 1;
  std::vector<T*> h_, c_;  // of h and c
  T* z_ = nullptr;
  std::vector<AlignedVector<T>> top_down_;  // V h^ of each layer but the top, rows row_stride<T>(4d) apart
  std::vector<char> top_down_known_;        // [L, B]: whether top_down_ is that of the current state above
  std::vector<std::vector<Moments<T>>> top_down_moments_;
  std::vector<T> own_z_;  // [L, B]: u_z · h of the current state
  // Memory of one step, or of one layer's step
  std::vector<rules::Operation> operations_;
  std::vector<InputProduct<T>> input_;
  std::vector<std::pair<int64_t, InputProduct<T>*>> fresh_;
  std::vector<int64_t> active_;
  Operands<T> u_, w_, v_;
  AlignedVector<T> recurrent_, bottom_up_;  // [B], rows stride() apart
  AlignedVector<T> gates_;                  // per thread
};

template <class T>
std::unique_ptr<HMLSTMStream> make(HMLSTMArguments a) {
  const auto window = std::move(a.window);
  a.window = {};
  auto out = std::make_unique<Stream<T>>(std::make_shared<Shared<T>>(std::move(a)), window.z0.size(0));
  out->start(window);
  return out;
}

}  // namespace

std::unique_ptr<HMLSTMStream> make_stream(const HMLSTMArguments& arguments) {
  auto a = contiguous(arguments);
  check_hard_boundaries(a);
  // Detached: Module::to may give a parameter other memory, and the stream reads the memory that it was created with.
  each_differentiable(a, [](at::Tensor& x) { x = x.defined() ? x.detach() : x; });
  if (a.window.h0[0].scalar_type() == at::kDouble) return make<double>(std::move(a));
  return make<float>(std::move(a));
}

}  // namespace hmrnn::cpu
