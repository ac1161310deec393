#pragma once

#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <optional>
#include <utility>
#include <vector>

#include "bench/contestants.h"

// What several groups of contestants are made of.

namespace bench {

constexpr int64_t kInput = 128;
constexpr int64_t kVocabulary = 50;
/// The paper's rates; what a young model of PTB does; nothing to skip.
constexpr Rates kRates[] = {{0.21, 0.035}, {0.5, 0.17}, {1, 1}};

/// Those of kRates that tell something on `device`.
std::vector<Rates> rates_on(torch::Device device);

/// Sets the regularisers of HMLSTMOptions or CharLMOptions as in training that overfits.
template <class Options>
Options regularised(Options options) {
  options.recurrent_dropout(0.1).locked_dropout(0.25).weight_drop(0.3);
  return options;
}
/// Without regularisers, and with them if asked for.
inline std::vector<bool> regularisers(const Ground& ground) {
  return ground.regularised ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

/// float32, and bfloat16 if asked for.
std::vector<torch::ScalarType> dtypes(bool bfloat16);
std::optional<torch::ScalarType> product_dtype(torch::ScalarType dtype);
/// Every pair of them.
template <class A, class B>
std::vector<std::pair<A, B>> each_of(const std::vector<A>& first, const std::vector<B>& second) {
  std::vector<std::pair<A, B>> out;
  for (const auto& a : first) {
    for (const B b : second) out.emplace_back(a, b);
  }
  return out;
}

/// z [T, B, 2] on the CPU, each entry drawn by itself; the same for the same rates and shape.
torch::Tensor draw_boundaries(int64_t steps, int64_t batch, const Rates& rates);

/// torch::nn's LSTM of kLayers layers.
torch::nn::LSTM plain_lstm(int64_t units, torch::ScalarType dtype, torch::Device device);
/// What computes that; empty on the CPU.
std::string backend_of_lstm(torch::ScalarType dtype, torch::Device device);

/// Adds a contestant of ours: on a GPU twice, launched plainly and replayed from a graph; with `persistent` and in
/// bfloat16 once more, as a graph of the kernel of whole windows, if that runs it (the contestant runs once to see).
void add_with_launches(std::vector<Contestant>& group, const Contestant& contestant, bool persistent);

}  // namespace bench
