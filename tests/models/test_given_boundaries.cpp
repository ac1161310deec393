#include "catch.h"
#include "hmrnn/error.h"
#include "hmrnn/models/given_boundaries.h"

using hmrnn::GivenBoundaries;

TEST_CASE("spaces end segments of the first layer, line ends those of all") {
  const std::vector<uint8_t> symbols = {'\n', 'a', ' '};
  const GivenBoundaries given("spaces", 3, symbols);
  const auto z = given(torch::tensor({1, 2, 0, 1}, torch::kInt64).view({4, 1}), 0);
  REQUIRE(z.sizes() == torch::IntArrayRef({4, 1, 3}));
  CHECK(
      torch::equal(z.squeeze(1), torch::tensor({{0.F, 0.F, 0.F}, {1.F, 0.F, 0.F}, {1.F, 1.F, 1.F}, {0.F, 0.F, 0.F}})));
  CHECK_THROWS_WITH(GivenBoundaries("spaces", 2, {'a', 'b'}), ContainsSubstring("neither spaces nor line ends"));
}

TEST_CASE("a clock ticks by positions of the stream, across windows") {
  const GivenBoundaries given("clock:2,3", 2, {'a'});
  const auto index = torch::zeros({7, 2}, torch::kInt64);
  const auto whole = given(index, 0);
  for (int64_t t = 0; t < 7; ++t) {
    INFO("step " << t);
    CHECK(whole[t][1][0].item<float>() == ((t + 1) % 2 == 0 ? 1 : 0));
    CHECK(whole[t][0][1].item<float>() == ((t + 1) % 3 == 0 ? 1 : 0));
  }
  CHECK(torch::equal(torch::cat({given(index.narrow(0, 0, 3), 0), given(index.narrow(0, 3, 4), 3)}), whole));
  // one number means its powers
  CHECK(torch::equal(GivenBoundaries("clock:2", 2, {'a'})(index, 0), GivenBoundaries("clock:2,4", 2, {'a'})(index, 0)));
}

TEST_CASE("a segmentation that makes no sense is refused by its name") {
  for (const char* spec :
       {"clock:", "clock:0", "clock:2,", "clock:x", "clock:2,3,4", "clock:-1", "words", "clock:1000000000000"}) {
    INFO(spec);
    CHECK_THROWS_WITH(GivenBoundaries(spec, 2, {'a', ' '}), ContainsSubstring(spec));
  }
  CHECK_THROWS_WITH(GivenBoundaries("spaces", 0, {' '}), ContainsSubstring("no boundary detectors"));
  CHECK_FALSE(GivenBoundaries().defined());
  CHECK_FALSE(GivenBoundaries()(torch::zeros({1, 1}, torch::kInt64), 0).defined());
}
