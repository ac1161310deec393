// Contestants that are complete models with loss, and with optimiser.
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <memory>
#include <tuple>

#include "bench/contestants.h"
#include "bench/flops.h"
#include "bench/ingredients.h"
#include "hmrnn/models/char_lm.h"
#include "hmrnn/ops/cross_entropy.h"
#include "hmrnn/train/optimizer.h"

namespace bench {

namespace {

/// A window of text.
struct Text {
  torch::Tensor index, target;
  Text(const Size& size, torch::Device device)
      : index(torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64).to(device)),
        target(torch::randint(kVocabulary, {size.window, size.batch}, torch::kInt64).to(device)) {}
};

/// Size of the output embedding in the paper's models: 512 / 512 on PTB, 1024 / 2048 on text8 and enwik8.
int64_t output_size(int64_t units) { return units < 1024 ? units : 2 * units; }

hmrnn::CharLMOptions options_of(const Size& size, bool layer_norm) {
  return hmrnn::CharLMOptions(kVocabulary)
      .embedding_size(kInput)
      .hidden_sizes(std::vector<int64_t>(kLayers, size.units))
      .output_embedding_size(output_size(size.units))
      .norm_gain(kNormGain)
      .layer_norm(layer_norm);
}

/// torch::nn's LSTM between an embedding and a linear softmax layer.
struct PlainModelImpl : torch::nn::Module {
  PlainModelImpl(int64_t units, torch::ScalarType dtype, torch::Device device)
      : embedding(register_module("embedding", torch::nn::Embedding(kVocabulary, kInput))),
        lstm(register_module("lstm", plain_lstm(units, dtype, device))),
        softmax(register_module("softmax", torch::nn::Linear(units, kVocabulary))) {
    embedding->to(device, dtype);
    softmax->to(device, dtype);
  }
  torch::Tensor loss(const Text& text) {
    const auto h = std::get<0>(lstm->forward(embedding->forward(text.index)));
    return hmrnn::cross_entropy(softmax->forward(h).to(torch::kFloat32), text.target);
  }
  torch::nn::Embedding embedding;
  torch::nn::LSTM lstm;
  torch::nn::Linear softmax;
};
TORCH_MODULE(PlainModel);

double plain_flops(const Size& size) {
  const auto steps = size.window * size.batch;
  return 3 * (core_pass({}, steps, size.units, steps) + 2.0 * static_cast<double>(steps * size.units * kVocabulary));
}

/// z undefined: the LSTM.
double model_flops(const Size& size, const torch::Tensor& z) {
  // W x of the first layer is a table over the vocabulary.
  return hmrnn::training_flops(rows_of(z, size.window * size.batch, kVocabulary),
                               hmrnn::cost_sizes(options_of(size, /*layer_norm=*/true)));
}

torch::Tensor loss_of(hmrnn::CharLM model, const Text& text, const torch::Tensor& z) {
  hmrnn::HMLSTMCall call;
  call.boundaries = z;
  call.boundary_gradient = z.defined();
  return hmrnn::cross_entropy(model->forward(text.index, std::nullopt, call).logits, text.target);
}

/// Adam on float32 copies of a module's parameters (on the parameters themselves if they are float32).
class MasterAdam {
 public:
  explicit MasterAdam(const torch::nn::Module& module) {
    std::vector<std::pair<std::string, torch::Tensor>> named;
    for (const auto& item : module.named_parameters()) {
      parameters_.push_back(item.value());
      const bool single = item.value().scalar_type() == torch::kFloat32;
      masters_.push_back(single ? item.value() : item.value().detach().to(torch::kFloat32).requires_grad_());
      named.emplace_back(item.key(), masters_.back());
    }
    adam_ = std::make_unique<hmrnn::ClippedAdam>(std::move(named), hmrnn::ClippedAdam::Options{});
    adam_->set_learning_rate(1e-4);
  }

  void step(const torch::Tensor& loss) {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < masters_.size(); ++i) {
      if (masters_[i].is_same(parameters_[i])) continue;
      masters_[i].mutable_grad() = parameters_[i].grad().to(torch::kFloat32);
      parameters_[i].mutable_grad().reset();
    }
    adam_->step(loss);
    for (size_t i = 0; i < masters_.size(); ++i) {
      if (!masters_[i].is_same(parameters_[i])) parameters_[i].copy_(masters_[i]);
    }
  }

 private:
  std::vector<torch::Tensor> parameters_, masters_;
  std::unique_ptr<hmrnn::ClippedAdam> adam_;
};

Contestant common_of(const Size& size, const Ground& ground) {
  Contestant common;
  common.size = size;
  common.device = ground.device;
  common.characters = static_cast<double>(size.window * size.batch);
  return common;
}

}  // namespace

std::vector<Contestant> model_group(const Size& size, const Ground& ground) {
  const Text text(size, ground.device);
  const auto common = common_of(size, ground);
  std::vector<Contestant> group;
  for (const auto dtype : dtypes(ground.bfloat16)) {
    auto& lstm = group.emplace_back(common);
    lstm.name = "model/lstm";
    lstm.dtype = dtype;
    lstm.baseline = true;
    lstm.backend = backend_of_lstm(dtype, ground.device);
    lstm.flops = plain_flops(size);
    lstm.run = [model = PlainModel(size.units, dtype, ground.device), text]() mutable {
      model->zero_grad();
      model->loss(text).backward();
    };
  }

  const auto add = [&](const char* name, hmrnn::CharLM model, bool layer_norm, torch::ScalarType dtype,
                       const std::optional<Rates>& rates) {
    const auto z = rates ? draw_boundaries(size.window, size.batch, *rates) : torch::Tensor();
    auto contestant = common;
    contestant.name = name;
    contestant.rates = rates;
    contestant.dtype = dtype;
    contestant.layer_norm = layer_norm;
    contestant.flops = model_flops(size, z);
    contestant.run = [model, text, z = z.defined() ? z.to(ground.device) : z, dtype]() mutable {
      model->zero_grad();
      model->set_product_dtype(product_dtype(dtype));
      loss_of(model, text, z).backward();
    };
    add_with_launches(group, contestant, ground.persistent);
  };
  for (const bool layer_norm : {true, false}) {
    for (const bool drops : regularisers(ground)) {
      auto options = options_of(size, layer_norm);
      if (drops) options = regularised(options).embedding_dropout(0.1);
      hmrnn::CharLM model(options);
      hmrnn::CharLM control(options.core(hmrnn::Core::LSTM));
      model->to(ground.device);
      control->to(ground.device);
      for (const auto dtype : dtypes(ground.bfloat16)) {
        add(drops ? "model/char_lm_lstm_regularised" : "model/char_lm_lstm", control, layer_norm, dtype, std::nullopt);
      }
      for (const auto& [rates, dtype] : each_of(rates_on(ground.device), dtypes(ground.bfloat16))) {
        add(drops ? "model/char_lm_hm_lstm_regularised" : "model/char_lm_hm_lstm", model, layer_norm, dtype, rates);
      }
    }
  }
  return group;
}

std::vector<Contestant> training_group(const Size& size, const Ground& ground) {
  const Text text(size, ground.device);
  const auto common = common_of(size, ground);
  std::vector<Contestant> group;
  for (const auto dtype : dtypes(ground.bfloat16)) {
    auto& lstm = group.emplace_back(common);
    lstm.name = "training/lstm";
    lstm.dtype = dtype;
    lstm.baseline = true;
    lstm.backend = backend_of_lstm(dtype, ground.device);
    lstm.flops = plain_flops(size);
    PlainModel model(size.units, dtype, ground.device);
    lstm.run = [model, text, adam = std::make_shared<MasterAdam>(*model)]() mutable {
      const auto loss = model->loss(text);
      loss.backward();
      adam->step(loss);
    };
  }
  const auto steered = ground.device.is_cpu() ? std::make_optional(kSteered) : std::nullopt;
  const auto add = [&](const char* name, hmrnn::CharLM model, torch::ScalarType dtype,
                       const std::optional<Rates>& rates) {
    model->to(ground.device);
    const auto z = rates ? draw_boundaries(size.window, size.batch, *rates) : torch::Tensor();
    auto contestant = common;
    contestant.name = name;
    contestant.rates = rates;
    contestant.dtype = dtype;
    contestant.layer_norm = true;
    // The FLOPs of a model's own boundaries are estimated with the paper's rates.
    const bool own = model->options.core() == hmrnn::Core::HMLSTM && !rates;
    contestant.flops = model_flops(size, own ? draw_boundaries(size.window, size.batch, kRates[0]) : z);
    contestant.run = [model, text, z, dtype, adam = std::make_shared<MasterAdam>(*model)]() mutable {
      model->set_product_dtype(product_dtype(dtype));
      const auto loss = loss_of(model, text, z);
      loss.backward();
      adam->step(loss);
    };
    add_with_launches(group, contestant, ground.persistent);
  };
  auto options = options_of(size, /*layer_norm=*/true);
  for (const auto dtype : dtypes(ground.bfloat16)) {
    add("training/char_lm_hm_lstm", hmrnn::CharLM(options), dtype, steered);
    if (ground.device.is_cpu()) {
      auto control = options;
      add("training/char_lm_lstm", hmrnn::CharLM(control.core(hmrnn::Core::LSTM)), dtype, std::nullopt);
    }
  }
  return group;
}

}  // namespace bench
