// hmrnn_products: the products of ops/cpu/row_product.h against ATen's brgemm, which is oneDNN's, with one thread, as a
// layer of k units makes them:
//   forward   y [m, 4k] = x [m, k] · Wᵀ
//   backward  x_grad [m, k] = y_grad [m, 4k] · W
//   gradient  W_grad [4k, k] = y_gradᵀ [4k, 16m] · x [16m, k], packing included
//   pack      W for the product forwards
// Eight matrices W take turns, as in a window of three layers. brgemm takes rows one after another and panels
// [k, width] (bfloat16: of pairs of k); our products take rows at any addresses. brgemm's results are float.
//
//   hmrnn_products [--dtype float32|bfloat16] [K …]     default: both; 128 256 512; each a multiple of 32
#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>
#include <fmt/format.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "hmrnn/ops/cpu/row_product.h"

namespace {

namespace blas = at::native::cpublas;
using torch::Tensor;

constexpr int kRounds = 15;
constexpr int64_t kMultiplications = 60'000'000;  ///< of one timing
constexpr int64_t kMatrices = 8;
constexpr int64_t kGradientRows = 16;  ///< per row of the other products

using Work = std::function<void(int64_t matrix)>;
using Works = std::vector<Work>;  ///< one for each column of the table; empty: there is none

/// brgemm's panels have 16, 32, 64, 128 or all columns.
constexpr size_t kWidths = 5;
int64_t panel_width(size_t column, int64_t n) { return column + 1 < kWidths ? int64_t{16} << column : n; }

double seconds(const Work& work, int64_t repeats) {
  const auto begin = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < repeats; ++i) work(i % kMatrices);
  blas::brgemm_release();  // it caches AMX's tile configuration, which other code may have changed since
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() / static_cast<double>(repeats);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

template <class P>
std::vector<const P*> rows_of(const Tensor& x) {
  std::vector<const P*> out;
  for (int64_t i = 0; i < x.size(0); ++i) out.push_back(x.const_data_ptr<P>() + i * x.size(1));
  return out;
}

/// B [k, n] of P in panels of `width` columns, as brgemm takes them.
template <class P>
Tensor panels_of(const Tensor& b, int64_t width) {
  constexpr int64_t pairs = hmrnn::cpu::RowProductKernels<P>::kPairs;
  return b.reshape({b.size(0) / pairs, pairs, b.size(1) / width, width}).permute({2, 0, 3, 1}).contiguous();
}

/// to [m, n] of float = x [m, k] · B, packed by panels_of
template <class P>
void by_brgemm(const Tensor& x, const Tensor& panels, const Tensor& to) {
  const int64_t m = x.size(0), k = x.size(1), n = to.size(1), width = n / panels.size(0);
  for (int64_t p = 0; p < panels.size(0); ++p) {
    blas::brgemm(m, width, k, k, width, n, false, x.const_data_ptr<P>(), panels.const_data_ptr<P>() + p * k * width,
                 to.data_ptr<float>() + p * width);
  }
}

/// Prints the GFLOP/s (for `pack`, GB/s of what is read) of ours and of theirs.
void compare(const std::string& what, int64_t m, int64_t k, double giga, int64_t multiplications, const Work& own,
             const Works& theirs, double difference) {
  const int64_t repeats = std::max<int64_t>(1, kMultiplications / std::max<int64_t>(1, multiplications));
  std::vector<double> times;
  std::vector<std::vector<double>> their_times(theirs.size());
  for (int round = 0; round < kRounds; ++round) {
    times.push_back(seconds(own, repeats));
    for (size_t j = 0; j < theirs.size(); ++j) {
      if (theirs[j]) their_times[j].push_back(seconds(theirs[j], repeats));
    }
  }
  double best = 0;
  fmt::print("{:18} {:4} {:4} {:8.1f}", what, m, k, giga / median(times));
  for (const auto& each : their_times) {
    if (each.empty()) {
      fmt::print(" {:>8}", "-");
      continue;
    }
    best = std::max(best, giga / median(each));
    fmt::print(" {:8.1f}", giga / median(each));
  }
  fmt::print(" {:8.2f} {:10.1e}\n", giga / median(times) / best, difference);
}

double difference_of(const Tensor& own, const Tensor& other) {
  return ((own - other).abs().max() / other.abs().max()).item<double>();
}

double giga_flop(int64_t m, int64_t k, int64_t n) { return 2e-9 * static_cast<double>(m * k * n); }

/// One product for each matrix with the same rows: x [m, k] · B.
template <class P, class Y, class Own>
void compare_product(const std::string& what, const Tensor& x, const std::vector<Tensor>& b, int64_t units,
                     const Tensor& y, Own own) {
  const int64_t m = x.size(0), k = x.size(1), n = y.size(1);
  const auto other = torch::zeros({m, n});
  std::vector<std::vector<Tensor>> panels(kWidths);
  Works theirs(kWidths);
  for (size_t column = 0; column < kWidths; ++column) {
    const int64_t width = panel_width(column, n);
    if (n % width != 0) continue;
    for (const auto& each : b) panels[column].push_back(panels_of<P>(each, width));
    theirs[column] = [&x, &other, &of_width = panels[column]](int64_t i) { by_brgemm<P>(x, of_width[i], other); };
  }
  own(0);
  theirs[0](0);
  blas::brgemm_release();
  const double difference = difference_of(y.to(torch::kFloat), other);
  compare(what, m, units, giga_flop(m, k, n), m * k * n, own, theirs, difference);
}

/// to [n, k] = yᵀ · x, for y [m, n] and x [m, k], transposed and packed first, in panels of 32 columns
template <class P>
void gradient_by_brgemm(const Tensor& y, const Tensor& x, const Tensor& to) {
  constexpr int64_t width = 32, rows = 64;
  const int64_t n = y.size(1);
  const auto a = y.t().contiguous();
  const auto panels = panels_of<P>(x, width);
  for (int64_t i = 0; i < n; i += rows) {
    by_brgemm<P>(a.narrow(0, i, std::min(rows, n - i)), panels, to.narrow(0, i, std::min(rows, n - i)));
  }
}

template <class P>
void compare_all(int64_t k, const std::string& name) {
  using Packed = hmrnn::cpu::PackedMatrix<P>;
  constexpr auto type = c10::CppTypeToScalarType<P>::value;
  const int64_t n = 4 * k;
  std::vector<Tensor> weight, forwards, backwards;
  std::vector<Packed> own_forward, own_backward;
  for (int64_t i = 0; i < kMatrices; ++i) {
    weight.push_back(torch::randn({n, k}).to(type).to(torch::kFloat));
    forwards.push_back(weight[i].t().to(type).contiguous());
    backwards.push_back(weight[i].to(type));
    own_forward.emplace_back(k, n);
    own_backward.emplace_back(n, k);
    own_forward[i].pack(weight[i].data_ptr<float>(), k, /*transposed=*/true);
    own_backward[i].pack(weight[i].data_ptr<float>(), k, /*transposed=*/false);
  }
  for (const int64_t m : {1, 4, 8, 16, 32, 64}) {
    const Tensor x = torch::randn({m, k}).to(type), y_grad = torch::randn({m, n}).to(type);
    const Tensor y = torch::zeros({m, n}, type), x_grad = torch::zeros({m, k});
    const auto rows = rows_of<P>(x);
    std::vector<float*> to;
    for (int64_t i = 0; i < m; ++i) to.push_back(x_grad.data_ptr<float>() + i * k);
    compare_product<P, P>(name + " forward", x, forwards, k, y,
                          [&](int64_t i) { own_forward[i].forward(m, rows.data(), y.data_ptr<P>(), n, {}); });
    compare_product<P, float>(name + " backward", y_grad, backwards, k, x_grad, [&](int64_t i) {
      own_backward[i].backward(m, y_grad.const_data_ptr<P>(), n, to.data(), /*add=*/false, {});
    });
    const int64_t many = kGradientRows * m;
    const Tensor xs = torch::randn({many, k}).to(type), ys = torch::randn({many, n}).to(type);
    const Tensor own = torch::zeros({n, k}), other = torch::zeros({n, k});
    const auto all = rows_of<P>(xs);
    Tensor memory = torch::empty({hmrnn::cpu::row_weight_gradient_scratch<P>(many, k)}, type);
    const Work ours = [&](int64_t) {
      hmrnn::cpu::row_weight_gradient(many, n, ys.const_data_ptr<P>(), n, k, all.data(), own.data_ptr<float>(), false,
                                      memory.data_ptr<P>());
    };
    const Work theirs = [&](int64_t) { gradient_by_brgemm<P>(ys, xs, other); };
    ours(0);
    theirs(0);
    blas::brgemm_release();
    compare(name + " gradient", many, k, giga_flop(many, k, n), many * k * n, ours, {{}, theirs, {}, {}, {}},
            difference_of(own, other));
  }
  const Tensor packed = torch::empty({k, n}, type);
  const Work pack_own = [&](int64_t i) { own_forward[i].pack(weight[i].data_ptr<float>(), k, true); };
  const Work pack_theirs = [&](int64_t i) {
    // Float needs no pairs, only the transposition.
    auto b = weight[i].to(type).t();
    packed.copy_(std::is_same_v<P, float> ? b : panels_of<P>(b.contiguous(), n).view({k, n}));
  };
  compare(name + " pack", k, k, 1e-9 * static_cast<double>(n * k * 4), n * k * 16, pack_own,
          {{}, {}, {}, {}, pack_theirs}, 0);
}

template <class P>
void compare_dtype(const std::string& name, const std::vector<int64_t>& depths) {
  if (hmrnn::cpu::row_product_kernels<P>().width == 0) {
    return fmt::print("this CPU has no products of ours in {}\n", name);
  }
  for (const int64_t k : depths) compare_all<P>(k, name);
}

}  // namespace

int main(int argc, char** argv) {
  at::set_num_threads(1);
  torch::manual_seed(1);
  std::vector<int64_t> depths;
  std::string dtype;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--dtype" && i + 1 < argc) {
      dtype = argv[++i];
      continue;
    }
    const bool number = word.find_first_not_of("0123456789") == std::string::npos && word.size() < 6;
    depths.push_back(number ? std::stoll(word) : 0);
    if (depths.back() == 0 || depths.back() % 32 != 0) {
      fmt::print(stderr, "usage: hmrnn_products [--dtype float32|bfloat16] [K …]     K: a multiple of 32\n");
      return 2;
    }
  }
  if (depths.empty()) depths = {128, 256, 512};
  fmt::print(
      "                      m    k     ours brgemm16 brgemm32 brgemm64 brgem128  brgemmN    ratio difference\n");
  if (dtype.empty() || dtype == "float32") compare_dtype<float>("float32", depths);
  if (dtype.empty() || dtype == "bfloat16") compare_dtype<c10::BFloat16>("bfloat16", depths);
}
