#pragma once

#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <optional>
#include <utility>
#include <vector>

#include "bench/contestants.h"

// Parts of several groups of contestants.

namespace bench {

constexpr int64_t kInput = 128;
constexpr int64_t kVocabulary = 50;
/// The rates of the paper, those of a PTB model after little training, and those that leave nothing to skip.
constexpr Rates kRates[] = {{0.21, 0.035}, {0.5, 0.17}, {1, 1}};
/// The rates that a model reaches if a cost or a target rate steers its firing.
constexpr Rates kSteered = {0.44, 0.12};

/// Initial gain of the layer norms of models that make updates: with 1, gradients of 100 steps back overflow, and the
/// updates are skipped.
constexpr double kNormGain = 0.3;

/// The elements of kRates that differ in speed on `device`.
std::vector<Rates> rates_on(torch::Device device);

/// Sets all regularisers of HMLSTMOptions or CharLMOptions, as for a model that overfits.
template <class Options>
Options regularised(Options options) {
  options.recurrent_dropout(0.1).locked_dropout(0.25).weight_drop(0.3);
  return options;
}
/// Without regularisers, and with them if requested.
inline std::vector<bool> regularisers(const Ground& ground) {
  return ground.regularised ? std::vector<bool>{false, true} : std::vector<bool>{false};
}

/// float32, and bfloat16 if requested.
std::vector<torch::ScalarType> dtypes(bool bfloat16);
std::optional<torch::ScalarType> product_dtype(torch::ScalarType dtype);
/// The Cartesian product.
template <class A, class B>
std::vector<std::pair<A, B>> each_of(const std::vector<A>& first, const std::vector<B>& second) {
  std::vector<std::pair<A, B>> out;
  for (const auto& a : first) {
    for (const B b : second) out.emplace_back(a, b);
  }
  return out;
}

/// z [T, B, 2] on the CPU, entries independent; deterministic for the same rates and shape.
torch::Tensor draw_boundaries(int64_t steps, int64_t batch, const Rates& rates);

/// torch::nn's LSTM with kLayers layers.
torch::nn::LSTM plain_lstm(int64_t units, torch::ScalarType dtype, torch::Device device);
/// Its implementation; empty on the CPU.
std::string backend_of_lstm(torch::ScalarType dtype, torch::Device device);

/// Adds a contestant: on a GPU twice, launched and replayed from a graph; with `persistent` and in bfloat16 also as a
/// graph of the persistent kernel, if the window fits (which one run determines).
void add_with_launches(std::vector<Contestant>& group, const Contestant& contestant, bool persistent);

}  // namespace bench
