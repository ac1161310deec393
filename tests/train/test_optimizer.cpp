#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>

#include <limits>

#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/train/optimizer.h"

namespace {

std::vector<std::pair<std::string, torch::Tensor>> parameters(uint64_t seed) {
  torch::manual_seed(seed);
  return {{"a", torch::randn({33, 17}).requires_grad_()},
          {"b", torch::randn({129}).requires_grad_()},
          {"c", torch::randn({}).requires_grad_()}};
}

std::vector<torch::Tensor> tensors(const std::vector<std::pair<std::string, torch::Tensor>>& named) {
  std::vector<torch::Tensor> out;
  for (const auto& [name, tensor] : named) out.push_back(tensor);
  return out;
}

/// Sets equal random gradients for both, with a size that changes from step to step.
void set_gradients(const std::vector<torch::Tensor>& to, int64_t step) {
  torch::manual_seed(100 + step);
  for (auto tensor : to) tensor.mutable_grad() = torch::randn_like(tensor) * (step % 3 == 0 ? 10 : 0.01);
}

}  // namespace

TEST_CASE("ClippedAdam makes the updates of torch::optim::Adam after clip_grad_norm_") {
  const auto ours = parameters(1), theirs = parameters(1);
  hmrnn::ClippedAdam optimizer(ours, {.clip = 1.0});
  torch::optim::Adam expected(tensors(theirs), torch::optim::AdamOptions(0.01));
  for (int64_t step = 0; step < 25; ++step) {
    const double rate = step < 15 ? 0.01 : 0.01 / 50;
    set_gradients(tensors(ours), step);
    set_gradients(tensors(theirs), step);
    const double norm = torch::nn::utils::clip_grad_norm_(tensors(theirs), 1.0);
    static_cast<torch::optim::AdamOptions&>(expected.param_groups()[0].options()).lr(rate);
    expected.step();
    optimizer.set_learning_rate(rate);
    const auto report = optimizer.step(torch::tensor(1.0));
    CHECK(report.norm.item<double>() == Approx(norm));
    CHECK(report.skipped.item<float>() == 0);
    for (size_t i = 0; i < ours.size(); ++i) {
      INFO("step " << step << ", parameter " << ours[i].first);
      CHECK(torch::allclose(ours[i].second, theirs[i].second, 1e-5, 1e-6));
    }
  }
  CHECK(optimizer.updates() == 25);
  CHECK_FALSE(torch::allclose(ours[0].second, parameters(1)[0].second, 1e-2, 1e-2));
}

TEST_CASE("ClippedAdam skips what is not finite as a whole, moments and step count included") {
  const float bad = GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  const bool in_loss = GENERATE(false, true);
  const auto with = parameters(2), without = parameters(2);
  hmrnn::ClippedAdam disturbed(with, {}), plain(without, {});
  disturbed.set_learning_rate(0.01);
  plain.set_learning_rate(0.01);
  for (int64_t step = 0; step < 6; ++step) {
    set_gradients(tensors(with), step);
    set_gradients(tensors(without), step);
    disturbed.step(torch::tensor(1.0));
    plain.step(torch::tensor(1.0));
    if (step % 2 == 1) continue;
    set_gradients(tensors(with), 50 + step);
    torch::NoGradGuard no_grad;
    if (!in_loss) with[1].second.mutable_grad()[7] = bad;
    const auto report = disturbed.step(torch::tensor(in_loss ? bad : 1.0F));
    CHECK(report.skipped.item<float>() == 1);
  }
  for (size_t i = 0; i < with.size(); ++i) CHECK(torch::equal(with[i].second, without[i].second));
  CHECK(disturbed.updates() == 6);
}

TEST_CASE("ClippedAdam skips an update whose gradient norm is above the limit, and makes one at the limit") {
  const auto with = parameters(2), without = parameters(2);
  // The norms of set_gradients are near 0.26 and 260.
  hmrnn::ClippedAdam limited(with, {.clip = 0.1, .skip_norm = 5}), plain(without, {.clip = 0.1});
  limited.set_learning_rate(0.01);
  plain.set_learning_rate(0.01);
  int64_t skipped = 0;
  for (int64_t step = 0; step < 7; ++step) {
    set_gradients(tensors(with), step);
    const auto report = limited.step(torch::tensor(1.0));
    const bool large = report.norm.item<double>() > 5;
    CHECK(large == (step % 3 == 0));
    CHECK((report.skipped.item<float>() == 1) == large);
    CHECK(report.not_finite.item<float>() == 0);
    skipped += large;
    if (large) continue;
    set_gradients(tensors(without), step);
    plain.step(torch::tensor(1.0));
  }
  CHECK(skipped == 3);
  CHECK(limited.updates() == 4);
  for (size_t i = 0; i < with.size(); ++i) CHECK(torch::equal(with[i].second, without[i].second));

  set_gradients(tensors(with), 1);  // below the limit
  const auto bad = limited.step(torch::tensor(std::numeric_limits<float>::quiet_NaN()));
  CHECK(bad.skipped.item<float>() == 1);
  CHECK(bad.not_finite.item<float>() == 1);
  CHECK(limited.updates() == 4);

  auto one = std::vector<std::pair<std::string, torch::Tensor>>{{"one", torch::zeros({1})}};
  hmrnn::ClippedAdam edge(one, {.skip_norm = 5});
  edge.set_learning_rate(0.01);
  one[0].second.mutable_grad() = torch::full({1}, 5.0F);
  CHECK(edge.step(torch::tensor(1.0)).skipped.item<float>() == 0);
}

TEST_CASE("ClippedAdam goes on bit for bit from what it saved") {
  const auto whole = parameters(3), split = parameters(3);
  hmrnn::ClippedAdam a(whole, {});
  auto b = std::make_unique<hmrnn::ClippedAdam>(split, hmrnn::ClippedAdam::Options{});
  for (int64_t step = 0; step < 10; ++step) {
    if (step == 4) {
      hmrnn::SafeTensors file;
      b->save(file);
      b = std::make_unique<hmrnn::ClippedAdam>(split, hmrnn::ClippedAdam::Options{});
      b->load(file, "state");
    }
    for (auto* optimizer : {&a, b.get()}) optimizer->set_learning_rate(0.01);
    set_gradients(tensors(whole), step);
    set_gradients(tensors(split), step);
    a.step(torch::tensor(1.0));
    b->step(torch::tensor(1.0));
  }
  for (size_t i = 0; i < whole.size(); ++i) CHECK(torch::equal(whole[i].second, split[i].second));
}

TEST_CASE("ClippedAdam refuses a state of other shapes") {
  hmrnn::ClippedAdam a(parameters(4), {});
  hmrnn::SafeTensors file;
  a.save(file);
  file.tensors[0].second = torch::zeros({2, 2});
  CHECK_THROWS_WITH(a.load(file, "RUN/state"), ContainsSubstring("RUN/state") && ContainsSubstring("adam.exp_avg.a"));
  file.tensors.erase(file.tensors.begin());
  CHECK_THROWS_AS(a.load(file, "RUN/state"), hmrnn::Error);
}

TEST_CASE("weight decay is torch::optim's, of matrices alone") {
  const auto mode = GENERATE(hmrnn::WeightDecayMode::L2, hmrnn::WeightDecayMode::Decoupled);
  const auto ours = parameters(3), theirs = parameters(3);
  hmrnn::ClippedAdam optimizer(ours, {.beta2 = 0.99, .clip = 0, .weight_decay = 0.1, .weight_decay_mode = mode});
  optimizer.set_learning_rate(0.01);
  // Only matrices decay, so torch needs one optimiser for them and one for the rest.
  const auto of = [&](bool matrices) {
    std::vector<torch::Tensor> out;
    for (const auto& x : tensors(theirs)) {
      if ((x.dim() >= 2) == matrices) out.push_back(x);
    }
    return out;
  };
  const auto betas = std::make_tuple(0.9, 0.99);
  torch::optim::Adam plain(of(false), torch::optim::AdamOptions(0.01).betas(betas));
  torch::optim::Adam l2(of(true), torch::optim::AdamOptions(0.01).betas(betas).weight_decay(0.1));
  torch::optim::AdamW decoupled(of(true), torch::optim::AdamWOptions(0.01).betas(betas).weight_decay(0.1));
  for (int64_t step = 0; step < 20; ++step) {
    set_gradients(tensors(ours), step);
    set_gradients(tensors(theirs), step);
    plain.step();
    if (mode == hmrnn::WeightDecayMode::L2) {
      l2.step();
    } else {
      decoupled.step();
    }
    optimizer.step(torch::tensor(1.0));
  }
  for (size_t i = 0; i < ours.size(); ++i) {
    INFO(ours[i].first);
    CHECK(torch::allclose(ours[i].second, theirs[i].second, 1e-5, 1e-6));
  }
  // Decay has an effect, but not on the vector.
  const auto without = parameters(3);
  hmrnn::ClippedAdam none(without, {.beta2 = 0.99, .clip = 0});
  none.set_learning_rate(0.01);
  for (int64_t step = 0; step < 20; ++step) {
    set_gradients(tensors(without), step);
    none.step(torch::tensor(1.0));
  }
  CHECK_FALSE(torch::allclose(ours[0].second, without[0].second, 1e-3, 1e-3));
  CHECK(torch::equal(ours[1].second, without[1].second));
}

TEST_CASE("ClippedAdam refuses a tensor given twice, and a gradient of another shape or dtype, by name") {
  auto twice = parameters(1);
  twice.emplace_back("again", twice[1].second);
  CHECK_THROWS_WITH(hmrnn::ClippedAdam(twice, {}), ContainsSubstring("again and b are the same tensor"));
  const auto named = parameters(1);
  hmrnn::ClippedAdam optimizer(named, {});
  const auto before = named[1].second.detach().clone();
  for (const auto& bad : {torch::ones({128}), torch::ones({1, 129}), torch::ones({129}, torch::kFloat64)}) {
    set_gradients(tensors(named), 1);
    auto parameter = named[1].second;
    parameter.mutable_grad() = bad;
    CHECK_THROWS_WITH(optimizer.step(torch::tensor(1.0)), ContainsSubstring("the gradient of b must be"));
  }
  CHECK(optimizer.updates() == 0);
  CHECK(torch::equal(named[1].second, before));
}
