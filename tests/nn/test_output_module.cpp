#include <torch/serialize.h>

#include <cmath>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/output_module.h"
#include "hmrnn/ops/gated_output.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("the output module's parameters") {
  const OutputModule output(OutputModuleOptions({3, 5}, 7).classes(4));
  std::map<std::string, std::vector<int64_t>> shapes;
  for (const auto& p : output->named_parameters()) {
    shapes[p.key()] = p.value().sizes().vec();
    CHECK(p.value().requires_grad());
  }
  CHECK(shapes == std::map<std::string, std::vector<int64_t>>{{"gates", {2, 8}},
                                                              {"embedding.0", {7, 3}},
                                                              {"embedding.1", {7, 5}},
                                                              {"softmax.weight", {4, 7}},
                                                              {"softmax.bias", {4}}});
  const OutputModule bare(OutputModuleOptions({3, 5}, 7));
  CHECK(bare->named_parameters().size() == 3);
  CHECK(bare->softmax.is_empty());
}

TEST_CASE("the output module starts as documented") {
  torch::manual_seed(16);
  const OutputModule output(OutputModuleOptions({40, 60}, 64).classes(50));
  const auto check = [](const torch::Tensor& x, double bound) {
    CHECK(x.abs().max().item<double>() <= bound);
    CHECK(x.abs().max().item<double>() > 0.9 * bound);
    CHECK(x.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.25));
  };
  check(output->gates, 0.1);
  check((*output->embedding)[0], 0.1);
  check((*output->embedding)[1], 0.1);
  check(output->softmax->weight, 0.125);
  check(output->softmax->bias, 0.125);
}

TEST_CASE("the output module computes the gated combination of its parameters") {
  torch::manual_seed(17);
  OutputModule output(OutputModuleOptions({3, 5}, 7));
  const std::vector<torch::Tensor> h = {torch::randn({4, 2, 3}), torch::randn({4, 2, 5})};
  const auto out = output->forward(h);
  CHECK(out.sizes() == torch::IntArrayRef({4, 2, 7}));
  const auto p = output->named_parameters();
  CHECK(distance(out, reference_gated_output(h, p["gates"], {p["embedding.0"], p["embedding.1"]})) < 1e-6);
  CHECK(out.max().item<double>() > 0);
  // Every parameter gets a gradient.
  out.sum().backward();
  for (const auto& parameter : p) {
    INFO(parameter.key());
    CHECK(parameter.value().grad().abs().max().item<double>() > 0);
  }
}

TEST_CASE("the output module clones, saves, loads, changes dtype and prints") {
  torch::manual_seed(18);
  OutputModule output(OutputModuleOptions({3, 5}, 7).classes(4));
  const std::vector<torch::Tensor> h = {torch::randn({4, 2, 3}), torch::randn({4, 2, 5})};
  const auto expected = output->softmax(output->forward(h));
  const auto copy = std::dynamic_pointer_cast<OutputModuleImpl>(output->clone());
  CHECK(same(copy->softmax(copy->forward(h)), expected));
  {
    torch::NoGradGuard no_grad;
    for (auto& p : copy->parameters()) p.zero_();
  }
  CHECK(copy->softmax(copy->forward(h)).abs().max().item<double>() == 0);
  CHECK(same(output->softmax(output->forward(h)), expected));

  std::stringstream file;
  torch::save(output, file);
  OutputModule loaded(OutputModuleOptions({3, 5}, 7).classes(4));
  torch::load(loaded, file);
  CHECK(same(loaded->softmax(loaded->forward(h)), expected));
  output->to(torch::kFloat64);
  CHECK(output->forward({h[0].to(torch::kFloat64), h[1].to(torch::kFloat64)}).scalar_type() == torch::kFloat64);
  std::ostringstream text;
  text << output;
  CHECK(text.str().rfind("hmrnn::OutputModule(hidden_sizes=[3, 5], embedding_size=7", 0) == 0);
}

TEST_CASE("the output module names a bad argument") {
  CHECK_THROWS_AS(OutputModule(OutputModuleOptions({}, 7)), c10::Error);
  CHECK_THROWS_WITH(OutputModule(OutputModuleOptions({}, 7)), ContainsSubstring("hidden_sizes"));
  CHECK_THROWS_WITH(OutputModule(OutputModuleOptions({3, 0}, 7)), ContainsSubstring("hidden_sizes"));
  CHECK_THROWS_WITH(OutputModule(OutputModuleOptions({3}, 0)), ContainsSubstring("embedding_size"));
  CHECK_THROWS_WITH(OutputModule(OutputModuleOptions({3}, 2).classes(-1)), ContainsSubstring("classes"));
  OutputModule output(OutputModuleOptions({3, 5}, 7));
  CHECK_THROWS_WITH(output->forward({torch::zeros({4, 2, 3})}), ContainsSubstring("2 layers"));
}
