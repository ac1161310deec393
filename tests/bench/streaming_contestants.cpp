// Contestants that process one step at a time.
#include <c10/core/InferenceMode.h>

#include <functional>
#include <tuple>
#include <vector>

#include "bench/contestants.h"
#include "bench/flops.h"
#include "bench/ingredients.h"
#include "hmrnn/nn/hm_lstm.h"

namespace bench {

namespace {

/// The work of LSTMCells over `input` [T, B, kInput].
std::function<void()> cell_steps(const torch::Tensor& input, int64_t units, torch::ScalarType dtype) {
  std::vector<torch::nn::LSTMCell> layers;
  for (int64_t l = 0; l < kLayers; ++l) {
    layers.emplace_back(l == 0 ? kInput : units, units);
    layers.back()->to(dtype);
  }
  return [layers, x = input.to(dtype), units, dtype]() mutable {
    const c10::InferenceMode no_autograd;
    const auto zeros = torch::zeros({x.size(1), units}, dtype);
    std::vector<std::tuple<torch::Tensor, torch::Tensor>> state(kLayers, {zeros, zeros});
    for (int64_t t = 0; t < x.size(0); ++t) {
      auto h = x[t];
      for (int64_t l = 0; l < kLayers; ++l) {
        state[l] = layers[l]->forward(h, state[l]);
        h = std::get<0>(state[l]);
      }
    }
  };
}

}  // namespace

std::vector<Contestant> streaming_group(int64_t units, int64_t steps, bool bfloat16) {
  const auto input = torch::randn({steps, 1, kInput});
  Contestant common;
  common.size = {units, 1, 1};
  common.characters = static_cast<double>(steps);

  std::vector<Contestant> group;
  for (const auto dtype : dtypes(bfloat16)) {
    auto& cells = group.emplace_back(common);
    cells.name = "streaming/lstm_cell";
    cells.dtype = dtype;
    cells.baseline = true;
    cells.flops = core_pass({}, steps, units, steps);
    cells.run = cell_steps(input, units, dtype);
  }
  for (const bool layer_norm : {true, false}) {
    hmrnn::HMLSTM model(hmrnn::HMLSTMOptions(kInput, std::vector<int64_t>(kLayers, units)).layer_norm(layer_norm));
    for (const auto& rates : kRates) {
      const auto z = draw_boundaries(steps, 1, rates);
      // Only float32: a stream computes in the parameters' dtype.
      auto& stream = group.emplace_back(common);
      stream.name = "streaming/hm_lstm";
      stream.rates = rates;
      stream.dtype = torch::kFloat32;
      stream.layer_norm = layer_norm;
      stream.flops = core_pass(z, steps, units, steps);
      stream.run = [model, z, input]() mutable {
        auto sequence = model->stream();
        hmrnn::HMLSTMStepCall call;
        for (int64_t t = 0; t < input.size(0); ++t) {
          call.boundaries = z[t][0];
          model->step(input[t][0], sequence, call);
        }
      };
    }
  }
  return group;
}

std::vector<Contestant> streams_group(int64_t units, int64_t steps) {
  const hmrnn::HMLSTM model(hmrnn::HMLSTMOptions(kInput, std::vector<int64_t>(kLayers, units)));
  std::vector<Contestant> group;
  for (const int64_t batch : {1, 8, 64}) {
    const auto input = torch::randn({steps, batch, kInput});
    Contestant common;
    common.size = {units, batch, 1};
    common.characters = static_cast<double>(steps * batch);
    auto& streams = group.emplace_back(common);
    const auto z = draw_boundaries(steps, batch, kSteered);
    streams.name = "streams/hm_lstm";
    streams.rates = kSteered;
    streams.layer_norm = true;
    streams.baseline = batch == 1;
    streams.flops = core_pass(z, steps * batch, units, steps * batch);
    streams.run = [model, z, input] {
      auto crowd = input.size(1) == 1 ? model->stream() : model->streams(input.size(1));
      hmrnn::HMLSTMStepCall call;
      for (int64_t t = 0; t < input.size(0); ++t) {
        call.boundaries = crowd.batched() ? z[t] : z[t][0];
        model->step(crowd.batched() ? input[t] : input[t][0], crowd, call);
      }
    };
    auto& cells = group.emplace_back(common);
    cells.name = "streams/lstm_cell";
    cells.flops = core_pass({}, steps * batch, units, steps * batch);
    cells.run = cell_steps(input, units, torch::kFloat32);
  }
  return group;
}

}  // namespace bench
