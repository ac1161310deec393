// Runs the operators and what they use over windows of odd sizes with guard pages around all memory (guarded_memory.h).
// HMRNN_GUARD_PRODUCT=bfloat16 runs only windows with products of bfloat16. HMRNN_GUARD=end or start chooses the side;
// ATEN_CPU_CAPABILITY, HMRNN_AVX512_BF16 and HMRNN_AMX the instruction set.
//   hmrnn_guard [CASES [SEED]]        random windows; 70 of them cover every value of every option
//   hmrnn_guard onednn                oneDNN's linear layer with weights packed for another number of rows
//   hmrnn_guard overrun|underrun|write-behind|freed|twice    faults that the guard must detect: must not end normally
// Without HMRNN_GUARD the same numbers are computed in plain memory. HMRNN_PLAIN=end or start then aligns the ends, or
// the starts, of tensors as the guard does (to 64 bytes), so that the BLAS sums in the same order and all bits are
// equal.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/CPUAllocator.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/autograd.h>
#include <torch/types.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "guard/guarded_memory.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/ops/gated_output.h"
#include "hmrnn/ops/hm_lstm.h"
#include "hmrnn/ops/parameter_update.h"
#include "hmrnn/ops/product_dtype.h"
#include "support/random_window.h"

namespace {

using hmrnn::BoundaryMode;

/// Places tensors exactly at the guard, whatever their size: kernels must not rely on alignment.
class GuardAllocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t size) override {
    void* block = size > 0 ? hmrnn_guard_allocate(size) : nullptr;
    if (block == nullptr && size > 0) block = malloc(size);
    return {block, block, &hmrnn_guard_free, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &hmrnn_guard_free; }
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }
};

/// The alignment of GuardAllocator without its guards.
class PlainAllocator final : public c10::Allocator {
  static constexpr size_t kAlignment = 64;
  static void release(void* data) {
    free(reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(data) / kAlignment * kAlignment));
  }

 public:
  explicit PlainAllocator(bool end) : end_(end) {}
  c10::DataPtr allocate(size_t size) override {
    if (size == 0) return {nullptr, c10::Device(c10::kCPU)};
    const size_t gap = end_ ? (kAlignment - size % kAlignment) % kAlignment : 0;
    void* block = aligned_alloc(kAlignment, (gap + size + kAlignment - 1) / kAlignment * kAlignment);
    if (block == nullptr) throw std::bad_alloc();
    void* data = static_cast<char*>(block) + gap;
    return {data, data, &release, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release; }  // LibTorch requires it on a CPU with AMX
  void copy_data(void* to, const void* from, size_t size) const override { default_copy_data(to, from, size); }

 private:
  bool end_;
};

/// Draws the options of a case. Each option has its own cycle, so that pairs of values occur together as well.
struct Axes {
  explicit Axes(uint64_t seed) : state(seed) {}
  uint64_t draw() {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }
  /// Draws each of `values` equally often: a shuffled deck that is dealt out, then shuffled again.
  template <class T>
  T next(const std::string& axis, const std::vector<T>& values) {
    auto& deck = decks[axis];
    if (deck.empty()) {
      for (size_t i = 0; i < values.size(); ++i) deck.push_back(i);
      for (size_t i = deck.size(); i > 1; --i) std::swap(deck[i - 1], deck[draw() % i]);
    }
    const auto at = deck.back();
    deck.pop_back();
    ++seen[axis][at];
    return values[at];
  }
  uint64_t state;
  std::map<std::string, std::vector<size_t>> decks;
  std::map<std::string, std::map<size_t, int64_t>> seen;
};

std::vector<int64_t> up_to(int64_t last) {
  std::vector<int64_t> out;
  for (int64_t i = 1; i <= last; ++i) out.push_back(i);
  return out;
}

/// Counts, hashes (FNV-1a over words) and checks results: new memory is full of NaN.
class Results {
 public:
  void add(const torch::Tensor& x) {
    if (!x.defined()) return;
    TORCH_CHECK(torch::isfinite(x).all().item<bool>(),
                "a result is not finite: memory was read that was never written");
    values_ += x.numel();
    const auto wide = x.detach().to(torch::kFloat64).contiguous().view(torch::kInt64);
    const auto* bits = wide.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < wide.numel(); ++i) {
      hash_ = (hash_ ^ static_cast<uint64_t>(bits[i])) * 0x100000001b3ULL;
      hash_ ^= hash_ >> 32;
    }
  }
  int64_t values() const { return values_; }
  uint64_t hash() const { return hash_; }

 private:
  int64_t values_ = 0;
  uint64_t hash_ = 0xcbf29ce484222325ULL;
};

std::string g_case;

/// An update of the leaves that have a gradient, and of averages of them.
void update(const std::vector<torch::Tensor>& leaves, const std::vector<torch::Tensor>& gradients, Results& sum) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parameters, of_these, exp_avg, exp_avg_sq, averages;
  for (size_t i = 0; i < leaves.size(); ++i) {
    if (!gradients[i].defined()) continue;
    parameters.push_back(leaves[i].detach().clone());
    of_these.push_back(gradients[i]);
    for (auto* list : {&exp_avg, &exp_avg_sq, &averages}) list->push_back(torch::zeros_like(parameters.back()));
  }
  hmrnn::clipped_adam_({parameters, of_these, exp_avg, exp_avg_sq, torch::zeros({}),
                        torch::full({}, 0.01, torch::kFloat64), torch::zeros({})},
                       {.beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip = 1, .matrices = 1});
  hmrnn::average_(averages, parameters, torch::full({}, 0.5));
  for (const auto& list : {parameters, exp_avg, exp_avg_sq, averages}) {
    for (const auto& x : list) sum.add(x);
  }
}

/// Forward and backward pass of a window, the output module on it, a loss, and an update.
void run_window(const hmrnn::test::RandomWindow& p, std::optional<torch::ScalarType> product, int64_t out,
                Results& sum) {
  const auto result = hmrnn::hm_lstm(p.layers, p.window, p.rule, product, 1e-5, p.dropout);
  auto generator = at::detail::createCPUGenerator(3);
  const auto normal = [&](torch::IntArrayRef shape, torch::ScalarType dtype) {
    return torch::randn(shape, generator, torch::TensorOptions(torch::kFloat64)).to(dtype);
  };
  const auto dtype = result.h[0].scalar_type();
  int64_t units = 0;
  std::vector<torch::Tensor> embedding;
  for (const auto& h : result.h) {
    units += h.size(2);
    embedding.push_back(normal({out, h.size(2)}, dtype).requires_grad_());
  }
  const auto gates = normal({static_cast<int64_t>(result.h.size()), units}, dtype).requires_grad_();
  const auto he = hmrnn::gated_output(result.h, result.state_index, gates, embedding, product);
  auto loss = (he * normal(he.sizes(), dtype)).sum();
  // The output module's values serve as logits.
  const auto target = torch::zeros({he.size(0), he.size(1)}, torch::kInt64);
  loss = loss + hmrnn::cross_entropy(he, target) + hmrnn::cross_entropy(he, target, torch::ones_like(target));
  for (const auto& c : result.c_n) loss = loss + (c * normal(c.sizes(), dtype)).sum();
  if (result.z.numel() > 0 && result.z.requires_grad())
    loss = loss + (result.z * normal(result.z.sizes(), dtype)).sum();
  auto leaves = p.leaves();
  leaves.push_back(gates);
  leaves.insert(leaves.end(), embedding.begin(), embedding.end());
  const auto gradients = torch::autograd::grad({loss}, leaves, {}, false, false, /*allow_unused=*/true);
  for (const auto& h : result.h) sum.add(h);
  for (const auto& c : result.c_n) sum.add(c);
  sum.add(result.z);
  sum.add(he);
  for (const auto& g : gradients) sum.add(g);
  sum.add(hmrnn::cross_entropy(he.detach(), target));
  update(leaves, gradients, sum);
}

/// Some steps of a single stream and of a batched one of `batch` rows through a module of the same sizes, then of both
/// joined, and of rows selected from these.
void run_stream(const std::vector<int64_t>& sizes, bool layer_norm, BoundaryMode mode, torch::ScalarType dtype,
                int64_t steps, int64_t batch, Results& sum) {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(5);
  hmrnn::HMLSTM module(hmrnn::HMLSTMOptions(7, sizes).layer_norm(layer_norm).boundary(mode));
  module->to(dtype);
  module->eval();
  const auto table = torch::randn({3, 7}, dtype);
  const auto step = [&](hmrnn::HMLSTMStream& stream, bool indexed) {
    const auto shape = [&](int64_t size) {
      return stream.batched() ? std::vector<int64_t>{stream.batch(), size} : std::vector<int64_t>{size};
    };
    hmrnn::HMLSTMStepCall call;
    if (mode == BoundaryMode::Bernoulli && sizes.size() > 1) {
      call.noise = torch::rand(shape(static_cast<int64_t>(sizes.size()) - 1), dtype);
    }
    if (!indexed) {
      module->step(torch::randn(shape(7), dtype), stream, call);
    } else if (stream.batched()) {
      module->step_indexed(table, torch::randint(3, {stream.batch()}, torch::kInt64), stream, call);
    } else {
      module->step_indexed(table, 2, stream, call);
    }
  };
  auto stream = module->stream();
  for (int64_t t = 0; t < steps; ++t) step(stream, false);
  auto crowd = module->streams(batch);
  for (int64_t t = 0; t < steps; ++t) step(crowd, t % 2 == 1);
  auto all = hmrnn::HMLSTMStream::join({&stream, &crowd});
  for (int64_t t = 0; t < steps; ++t) step(all, t % 2 == 0);
  auto some = all.select_rows({batch, 0}), one = all.select(batch / 2);
  step(some, true);
  step(one, true);
  for (const auto* each : {&stream, &crowd, &all, &some, &one}) {
    for (const auto& h : each->state().h) sum.add(h);
  }
}

int run_windows(int64_t cases, uint64_t seed) {
  Axes axes(seed);
  Results sum;
  const std::vector<int64_t> sizes = {1, 3, 31, 33, 129, 8, 64};
  const std::vector<BoundaryMode> modes = {BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft};
  const std::vector<bool> both = {false, true};
  const char* only = std::getenv("HMRNN_GUARD_PRODUCT");
  TORCH_CHECK(only == nullptr || std::string(only) == "bfloat16", "HMRNN_GUARD_PRODUCT is bfloat16, not ", only);
  const std::vector<int> types = only ? std::vector<int>{2} : std::vector<int>{0, 0, 1, 2};
  for (int64_t i = 0; i < cases; ++i) {
    hmrnn::test::RandomWindowOptions o;
    const auto layers = axes.next<int64_t>("layers", {1, 2, 3, 4});
    o.sizes.clear();
    for (int64_t l = 0; l < layers; ++l) o.sizes.push_back(axes.next<int64_t>("units", sizes));
    o.batch = axes.next<int64_t>("batch", up_to(67));
    o.steps = axes.next<int64_t>("window", up_to(33));
    o.input_size = axes.next<int64_t>("input", {1, 2, 3, 17, 33});
    o.table = axes.next<int64_t>("table", {1, 2, 50});
    o.indexed = axes.next<bool>("indexed", both);
    o.layer_norm = axes.next<bool>("layer norm", both);
    o.mode = axes.next<BoundaryMode>("boundary", modes);
    o.lengths = axes.next<bool>("lengths", both);
    o.rate = axes.next<double>("given rate", {-1, -1, 0, 0.3, 1});
    o.boundary_gradient = axes.next<bool>("boundary gradient", both);
    o.recurrent_dropout = axes.next<double>("recurrent dropout", {0, 0, 0.25});
    o.locked_dropout = axes.next<double>("locked dropout", {0, 0, 0.5});
    o.boundary_bias = axes.next<double>("boundary bias", {-1, 0, 1});
    o.seed = static_cast<uint64_t>(i) + 1;
    const auto type = axes.next<int>("dtype", types);
    o.dtype = type == 1 ? torch::kFloat64 : torch::kFloat32;
    const auto product = type == 2 ? std::optional(torch::kBFloat16) : std::nullopt;
    const auto out = axes.next<int64_t>("output", {1, 5, 33, 130});
    const auto threads = axes.next<int>("threads", {1, 2, 3, 4});
    if (o.rate >= 0) o.mode = BoundaryMode::Step;
    at::set_num_threads(threads);
    g_case = fmt::format("case {}: units {}, batch {}, window {}, input {}{}, {}{}{}{}, dtype {}, {} threads", i,
                         fmt::join(o.sizes, ","), o.batch, o.steps, o.input_size, o.indexed ? " indexed" : "",
                         hmrnn::to_string(o.mode), o.layer_norm ? ", layer norm" : "", o.lengths ? ", lengths" : "",
                         o.rate >= 0 ? ", given" : "", type, threads);
    hmrnn_guard_at_work(g_case.c_str());
    run_window(hmrnn::test::random_window(o), product, out, sum);
    if (i % 4 == 0) run_stream(o.sizes, o.layer_norm, o.mode, o.dtype, o.steps, o.batch, sum);
  }
  std::string covered;
  for (const auto& [axis, counts] : axes.seen)
    covered += fmt::format("{}{} {}", covered.empty() ? "" : ", ", counts.size(), axis);
  fmt::print(
      "guard: {} windows forwards and backwards, {} streams alone and joined, kernels: {}; different values: {}\n",
      cases, (cases + 3) / 4, hmrnn::cpu_kernels(), covered);
  fmt::print("guard: {} results, hash of their bits {:016x}\n", sum.values(), sum.hash());
  return 0;
}

/// Products of few rows as earlier versions computed them: mkldnn::_linear_pointwise for m rows, with weights packed
/// for another m.
int run_onednn() {
  using Pack = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  using Apply = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, c10::string_view,
                           c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  auto& dispatcher = c10::Dispatcher::singleton();
  const auto pack = dispatcher.findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Pack>();
  const auto apply = dispatcher.findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Apply>();
  int64_t count = 0, differ = 0;
  double worst = 0;
  for (const int64_t threads : {1, 2, 4}) {
    at::set_num_threads(static_cast<int>(threads));
    for (const int64_t in : {1, 3, 31, 33, 64, 129, 512}) {
      for (const int64_t out : {1, 4, 31, 125, 257, 516, 2048}) {
        const auto weight = torch::randn({out, in}), inputs = torch::randn({67, in});
        const auto expected = inputs.mm(weight.t());
        for (const int64_t packed_for : {1, 2, 8, 31, 32, 64}) {
          const auto packed = pack.call(weight, packed_for);
          for (const int64_t m : {1, 2, 3, 5, 8, 16, 31, 32, 33, 67}) {
            g_case = fmt::format("{} rows of {} with weights [{}, {}] packed for {} rows, {} threads", m, in, out, in,
                                 packed_for, threads);
            hmrnn_guard_at_work(g_case.c_str());
            const auto x = inputs.narrow(0, 0, m).clone();
            const auto y =
                apply.call(x, packed, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), std::nullopt);
            const auto scale = std::sqrt(static_cast<double>(in));
            const auto error = (y - expected.narrow(0, 0, m)).abs().max().item<double>() / scale;
            worst = std::max(worst, error);
            if (!(error < 1e-5)) ++differ;
            ++count;
          }
        }
      }
    }
  }
  fmt::print(
      "guard: {} products by oneDNN with weights packed for another number of rows, {} with wrong results, largest "
      "error {:.1e}, {}\n",
      count, differ, worst, at::get_cpu_capability());
  return differ == 0 ? 0 : 1;
}

/// Faults that a guard detects, and a program without one does not.
int run_fault(const std::string& kind) {
  hmrnn_guard_at_work(kind.c_str());
  const auto x = torch::zeros({33}, torch::kFloat32);
  auto* volatile at = x.data_ptr<float>();
  if (kind == "overrun") at[33] = at[32];
  if (kind == "underrun") at[-1] = at[0];
  auto* volatile block = static_cast<char*>(malloc(33));
  if (kind == "write-behind") block[34] = 1;  // within the padding for alignment
  free(block);
  if (kind == "freed") block[0] = 1;
  if (kind == "twice") free(block);
  fmt::print("guard: {} was not seen\n", kind);
  return 0;
}

}  // namespace

int main(int argc, char** argv) try {
  Results warm;
  // What LibTorch allocates once, at its first operations, need not be among the guarded blocks.
  run_stream({3, 2}, true, BoundaryMode::Step, torch::kFloat32, 2, 2, warm);
  hmrnn_guard_begin();
  static GuardAllocator allocator;
  const std::string plain = std::getenv("HMRNN_PLAIN") != nullptr ? std::getenv("HMRNN_PLAIN") : "";
  static PlainAllocator aligned(plain == "end");
  if (hmrnn_guard_active()) {
    c10::SetCPUAllocator(&allocator, /*priority=*/100);
  } else if (!plain.empty()) {
    c10::SetCPUAllocator(&aligned, /*priority=*/100);
  }
  at::manual_seed(1);
  const std::string what = argc > 1 ? argv[1] : "200";
  if (what == "onednn") return run_onednn();
  if (what.find_first_not_of("0123456789") != std::string::npos) return run_fault(what);
  const int64_t cases = std::strtoll(what.c_str(), nullptr, 10);
  const uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (cases < 1) {
    std::fputs("usage: hmrnn_guard [CASES [SEED]], or as the head of tests/guard/main.cpp says\n", stderr);
    return 2;
  }
  return run_windows(cases, seed);
} catch (const std::exception& error) {
  std::fputs(fmt::format("guard: {}: {}\n", g_case, error.what()).c_str(), stderr);
  return 1;
}
