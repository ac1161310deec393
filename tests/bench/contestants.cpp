#include "bench/contestants.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/InferenceMode.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>

#include <memory>
#include <tuple>

#include "bench/flops.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/nn/hm_lstm.h"

namespace bench {

namespace {

constexpr int64_t kInput = 128;
constexpr int64_t kVocabulary = 50;
/// The paper's rates; what a young model of PTB does; nothing to skip.
constexpr Rates kRates[] = {{0.21, 0.035}, {0.5, 0.17}, {1, 1}};

std::vector<torch::ScalarType> dtypes(bool bfloat16) {
  if (bfloat16) return {torch::kFloat32, torch::kBFloat16};
  return {torch::kFloat32};
}

/// z [T, B, 2], each entry drawn by itself; the same for the same rates and shape.
torch::Tensor draw_boundaries(int64_t steps, int64_t batch, const Rates& rates) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto noise = torch::rand({steps, batch, kLayers - 1}, generator, torch::kFloat32);
  return (noise < torch::tensor({rates[0], rates[1]}, torch::kFloat32)).to(torch::kFloat32);
}

std::optional<torch::ScalarType> product_dtype(torch::ScalarType dtype) {
  return dtype == torch::kFloat32 ? std::nullopt : std::make_optional(dtype);
}

torch::nn::LSTM plain_lstm(int64_t units, torch::ScalarType dtype) {
  torch::nn::LSTM lstm(torch::nn::LSTMOptions(kInput, units).num_layers(kLayers));
  lstm->to(dtype);
  return lstm;
}

}  // namespace

std::vector<Contestant> core_group(const Size& size, bool bfloat16) {
  const auto steps = size.window * size.batch;
  const auto input = torch::randn({size.window, size.batch, kInput});
  const auto from_above = torch::randn({size.window, size.batch, size.units});
  Contestant common;
  common.size = size;
  common.characters = static_cast<double>(steps);

  std::vector<Contestant> group;
  for (const auto dtype : dtypes(bfloat16)) {
    auto& lstm = group.emplace_back(common);
    lstm.name = "core/lstm";
    lstm.dtype = dtype;
    lstm.baseline = true;
    lstm.flops = 3 * lstm_pass(steps, size.units, kInput, steps);
    lstm.run = [model = plain_lstm(size.units, dtype), x = input.to(dtype, false, true).requires_grad_(),
                gradient = from_above.to(dtype)]() mutable {
      model->zero_grad();
      x.mutable_grad().reset();
      std::get<0>(model->forward(x)).backward(gradient);
    };
  }
  for (const bool layer_norm : {true, false}) {
    hmrnn::HMLSTM model(hmrnn::HMLSTMOptions(kInput, std::vector<int64_t>(kLayers, size.units)).layer_norm(layer_norm));
    for (const auto& rates : kRates) {
      const auto z = draw_boundaries(size.window, size.batch, rates);
      for (const auto dtype : dtypes(bfloat16)) {
        auto& core = group.emplace_back(common);
        core.name = "core/hm_lstm";
        core.rates = rates;
        core.dtype = dtype;
        core.layer_norm = layer_norm;
        core.flops = 3 * hm_lstm_pass(z, size.units, kInput, steps);
        core.run = [model, z, dtype, x = input.clone().requires_grad_(), from_above]() mutable {
          model->zero_grad();
          x.mutable_grad().reset();
          model->set_product_dtype(product_dtype(dtype));
          hmrnn::HMLSTMCall call;
          call.boundaries = z;
          call.boundary_gradient = true;
          const auto h = model->forward(x, std::nullopt, call).h;
          torch::autograd::backward(h, std::vector<torch::Tensor>(h.size(), from_above));
        };
      }
    }
  }
  return group;
}

std::vector<Contestant> model_group(const Size& size, bool bfloat16) {
  const auto steps = size.window * size.batch;
  // The paper's models: 512 / 512 on PTB, 1024 / 2048 on text8 and enwik8.
  const auto output_size = size.units < 1024 ? size.units : 2 * size.units;
  const auto index = torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64);
  const auto target = torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64);
  Contestant common;
  common.size = size;
  common.characters = static_cast<double>(steps);

  std::vector<Contestant> group;
  for (const auto dtype : dtypes(bfloat16)) {
    auto& lstm = group.emplace_back(common);
    lstm.name = "model/lstm";
    lstm.dtype = dtype;
    lstm.baseline = true;
    lstm.flops =
        3 * (lstm_pass(steps, size.units, kInput, steps) + 2.0 * static_cast<double>(steps * size.units * kVocabulary));
    torch::nn::Embedding embedding(kVocabulary, kInput);
    torch::nn::Linear softmax(size.units, kVocabulary);
    embedding->to(dtype);
    softmax->to(dtype);
    lstm.run = [embedding, softmax, model = plain_lstm(size.units, dtype), index, target]() mutable {
      embedding->zero_grad();
      model->zero_grad();
      softmax->zero_grad();
      const auto h = std::get<0>(model->forward(embedding->forward(index)));
      hmrnn::cross_entropy(softmax->forward(h).to(torch::kFloat32), target).backward();
    };
  }

  const auto add = [&](const char* name, hmrnn::CharLM model, bool layer_norm, torch::ScalarType dtype,
                       const std::optional<Rates>& rates) {
    const auto z = rates ? draw_boundaries(size.window, size.batch, *rates) : torch::Tensor();
    auto& contestant = group.emplace_back(common);
    contestant.name = name;
    contestant.rates = rates;
    contestant.dtype = dtype;
    contestant.layer_norm = layer_norm;
    // W x of the first layer is a table of the vocabulary.
    contestant.flops = 3 * (rates ? hm_lstm_pass(z, size.units, kInput, kVocabulary)
                                  : lstm_pass(steps, size.units, kInput, kVocabulary)) +
                       output_module(z, steps, size.units, output_size, kVocabulary);
    contestant.run = [model, index, target, z, dtype]() mutable {
      model->zero_grad();
      model->set_product_dtype(product_dtype(dtype));
      hmrnn::HMLSTMCall call;
      call.boundaries = z;
      call.boundary_gradient = z.defined();
      hmrnn::cross_entropy(model->forward(index, std::nullopt, call).logits, target).backward();
    };
  };
  for (const bool layer_norm : {true, false}) {
    const auto options = hmrnn::CharLMOptions(kVocabulary)
                             .embedding_size(kInput)
                             .hidden_sizes(std::vector<int64_t>(kLayers, size.units))
                             .output_embedding_size(output_size)
                             .layer_norm(layer_norm);
    const hmrnn::CharLM model(options);
    auto control_options = options;
    const hmrnn::CharLM control(control_options.core(hmrnn::Core::LSTM));
    for (const auto dtype : dtypes(bfloat16)) add("model/char_lm_lstm", control, layer_norm, dtype, std::nullopt);
    for (const auto& rates : kRates) {
      for (const auto dtype : dtypes(bfloat16)) add("model/char_lm_hm_lstm", model, layer_norm, dtype, rates);
    }
  }
  return group;
}

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
    cells.flops = lstm_pass(steps, units, kInput, steps);
    std::vector<torch::nn::LSTMCell> layers;
    for (int64_t l = 0; l < kLayers; ++l) {
      layers.emplace_back(l == 0 ? kInput : units, units);
      layers.back()->to(dtype);
    }
    cells.run = [layers, x = input.to(dtype), units, dtype]() mutable {
      const c10::InferenceMode no_autograd;
      const auto zeros = torch::zeros({1, units}, dtype);
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
  for (const bool layer_norm : {true, false}) {
    hmrnn::HMLSTM model(hmrnn::HMLSTMOptions(kInput, std::vector<int64_t>(kLayers, units)).layer_norm(layer_norm));
    for (const auto& rates : kRates) {
      const auto z = draw_boundaries(steps, 1, rates);
      // Float32 alone: a stream computes in the parameters' dtype.
      auto& stream = group.emplace_back(common);
      stream.name = "streaming/hm_lstm";
      stream.rates = rates;
      stream.dtype = torch::kFloat32;
      stream.layer_norm = layer_norm;
      stream.flops = hm_lstm_pass(z, units, kInput, steps);
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

}  // namespace bench
