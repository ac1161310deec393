// A model of your own around hmrnn::HMLSTM, over a series of real values.
#pragma once

#include <hmrnn/hmrnn.h>
#include <torch/nn/modules/linear.h>

#include <utility>

/// Predicts the next reading from all before it.
struct ForecasterImpl : torch::nn::Module {
  ForecasterImpl() {
    const hmrnn::HMLSTMOptions options(/*input_size=*/1, /*hidden_sizes=*/{32, 32});
    layers = register_module("layers", hmrnn::HMLSTM(options));
    readout = register_module("readout", torch::nn::Linear(64, 1));
  }
  /// series [T, B, 1] → predictions [T, B, 1] and boundaries [T, B, 1]
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& series) {
    auto out = layers(series);
    return {readout(torch::cat(out.h, -1)), out.z};
  }
  hmrnn::HMLSTM layers{nullptr};
  torch::nn::Linear readout{nullptr};
};
TORCH_MODULE(Forecaster);
