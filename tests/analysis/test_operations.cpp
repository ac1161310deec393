#include "catch.h"
#include "hmrnn/analysis/operations.h"

namespace {

// One sequence of 5 steps and 3 layers, worked out by hand from equation 2 of the paper. z of the step before: (1, 0).
const torch::Tensor z_example() { return torch::tensor({{0., 0.}, {1., 0.}, {0., 0.}, {1., 1.}, {0., 0.}}); }
const torch::Tensor z0_example() { return torch::tensor({1., 0.}); }

}  // namespace

TEST_CASE("operations of a hand-computed sequence") {
  const auto operations = hmrnn::operation_strings(z_example(), z0_example(), 3);
  REQUIRE(operations.size() == 3);
  CHECK(operations[0] == "FUFUF");  // flush: z1 of the previous step; the input always counts as firing
  CHECK(operations[1] == "CUCUF");  // update: z1 of this step; flush: z2 of the previous step, even if z1 fires too
  CHECK(operations[2] == "CCCUC");  // the top never flushes
}

TEST_CASE("update counts are what the operations' letters say") {
  torch::manual_seed(3);
  const int64_t steps = 37, batch = 5, layers = 4;
  const auto z = torch::rand({steps, batch, layers - 1}).lt(0.4).to(torch::kFloat32);
  const auto z0 = torch::rand({batch, layers - 1}).lt(0.4).to(torch::kFloat32);
  const auto weight = torch::rand({steps, batch}).lt(0.7).to(torch::kFloat32);
  const auto counts = hmrnn::update_counts(z, z0, layers), weighted = hmrnn::update_counts(z, z0, layers, weight);
  for (int64_t l = 0; l < layers; ++l) {
    int64_t expected = 0, expected_weighted = 0;
    for (int64_t b = 0; b < batch; ++b) {
      const auto letters = hmrnn::operation_strings(z.select(1, b), z0[b], layers)[l];
      for (int64_t t = 0; t < steps; ++t) {
        expected += letters[t] != 'C';
        expected_weighted += letters[t] != 'C' && weight[t][b].item<float>() == 1;
      }
    }
    CHECK(counts[l].item<double>() == static_cast<double>(expected));
    CHECK(weighted[l].item<double>() == static_cast<double>(expected_weighted));
    CHECK(expected_weighted < expected);
  }
  CHECK(counts[0].item<double>() == steps * batch);
  CHECK(counts[3].item<double>() < steps * batch);
}

TEST_CASE("layers without detectors update at every step") {
  const auto counts = hmrnn::update_counts(torch::zeros({7, 2, 0}), torch::zeros({2, 0}), 3);
  CHECK(torch::equal(counts, torch::full({3}, 14, torch::kFloat64)));
  CHECK(hmrnn::operation_strings(torch::zeros({3, 0}), torch::zeros({0}), 2) == std::vector<std::string>{"UUU", "UUU"});
}

TEST_CASE("a soft z fires above one half, for counts and letters alike") {
  const auto z = torch::tensor({0.25, 0.75, 0.5, 0.0}).reshape({4, 1, 1});
  const auto z0 = torch::full({1, 1}, 0.25);
  CHECK(torch::equal(hmrnn::fired(z.flatten()), torch::tensor({false, true, false, false})));
  CHECK(hmrnn::fired(0.75));
  CHECK_FALSE(hmrnn::fired(0.5));
  CHECK(hmrnn::operation_strings(z.select(1, 0), z0[0], 2) == std::vector<std::string>{"UUFU", "CUCC"});
  CHECK(torch::equal(hmrnn::update_counts(z, z0, 2), torch::tensor({4., 1.}, torch::kFloat64)));
}

TEST_CASE("operations refuse shapes that do not fit") {
  CHECK_THROWS_AS(hmrnn::update_counts(torch::zeros({7, 2, 2}), torch::zeros({2, 1}), 3), c10::Error);
  CHECK_THROWS_AS(hmrnn::update_counts(torch::zeros({7, 2, 2}), torch::zeros({2, 2}), 2), c10::Error);
}
