#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/train/averaged_weights.h"

using hmrnn::AveragedWeights;

TEST_CASE("averaged weights follow their recurrence, and skipped updates change nothing") {
  const auto parameter = torch::zeros({2, 3}).requires_grad_();
  AveragedWeights weights({{"w", parameter}}, 0.5);
  double expected = 0;
  int64_t updates = 0;
  for (int64_t step = 1; step <= 12; ++step) {
    {
      const torch::NoGradGuard no_grad;
      parameter.fill_(static_cast<double>(step * step));
    }
    const bool skipped = step % 4 == 0;
    weights.update(torch::tensor(skipped ? 1.F : 0.F));
    if (!skipped) {
      ++updates;
      const auto n = static_cast<double>(updates);
      const double decay = std::min(0.5, (1 + n) / (10 + n));
      expected += (1 - decay) * (static_cast<double>(step * step) - expected);
    }
    const AveragedWeights::InPlace in_place(weights);
    INFO("step " << step);
    CHECK(parameter[1][2].item<double>() == Approx(expected).epsilon(1e-5));
  }
  CHECK(parameter[0][0].item<double>() == 144);  // restored
}

TEST_CASE("averaged weights are saved and loaded, and refuse what does not fit") {
  torch::manual_seed(1);
  const auto parameter = torch::randn({3, 2}).requires_grad_();
  AveragedWeights a({{"w", parameter}}, 0.9), b({{"w", parameter}}, 0.9);
  const auto none = torch::zeros({});
  for (int step = 0; step < 5; ++step) {
    {
      const torch::NoGradGuard no_grad;
      parameter.add_(1);
    }
    a.update(none);
  }
  hmrnn::SafeTensors file;
  a.save(file);
  CHECK(file.find("ema.updates").item<int64_t>() == 5);
  b.load(file, "FILE");
  const auto value = [&](AveragedWeights& of) {
    const AveragedWeights::InPlace in_place(of);
    return parameter.detach().clone();
  };
  CHECK(torch::equal(value(a), value(b)));
  a.update(none);
  b.update(none);  // the number of updates was saved too
  CHECK(torch::equal(value(a), value(b)));
  file.tensors[0].second = torch::zeros({2, 3});
  CHECK_THROWS_WITH(b.load(file, "FILE"), ContainsSubstring("FILE") && ContainsSubstring("ema.w"));
  file.tensors.clear();
  CHECK_THROWS_AS(b.load(file, "FILE"), hmrnn::Error);
  CHECK_THROWS_AS(AveragedWeights({{"w", parameter}}, 1.0), c10::Error);
  CHECK_THROWS_WITH(AveragedWeights({{"w", parameter}, {"v", parameter}}, 0.9),
                    ContainsSubstring("v and w are the same"));
}
