#include "catch.h"
#include "hmrnn/models/handwriting_stream.h"
#include "support/small_ink.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

TEST_CASE("a stream fed in pieces is the sequence fed whole") {
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Soft);
  torch::manual_seed(6);
  HandwritingModel model(small_ink().boundary(mode));
  const auto x = walks({20})[0];
  HandwritingStream pieces(model, torch::kCPU, 1);
  pieces.feed(x.narrow(0, 0, 7));
  const auto middle = pieces.feed(x.narrow(0, 7, 1));
  const auto end = pieces.feed(x.narrow(0, 8, 12));
  const torch::NoGradGuard no_grad;
  const auto whole = model->forward(x.unsqueeze(1));
  CHECK(distance(middle.raw, whole.raw[7][0]) < 1e-5);
  CHECK(distance(end.raw, whole.raw[19][0]) < 1e-5);
  CHECK(distance(end.z, whole.core.z.select(1, 0).narrow(0, 8, 12)) < 1e-5);
  CHECK_THROWS_AS(pieces.feed(torch::zeros({3, 2})), c10::Error);
}

TEST_CASE("sequences that are fed at once, joined and parted are the same as alone") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  torch::manual_seed(12);
  HandwritingModel model(small_ink(core).boundary(mode));
  const auto x = walks({30, 30, 30});
  std::vector<HandwritingStream> alone;
  for (int64_t i = 0; i < 3; ++i) alone.emplace_back(model, torch::kCPU, static_cast<uint64_t>(i + 5));
  const auto compare = [&](const HandwritingStream::Result& all, const std::vector<int64_t>& rows, int64_t from,
                           int64_t count) {
    for (size_t b = 0; b < rows.size(); ++b) {
      const auto row = static_cast<int64_t>(b);
      const auto own = alone[rows[b]].feed(x[rows[b]].narrow(0, from, count));
      REQUIRE(distance(all.raw[row], own.raw) < 1e-5);
      REQUIRE(same(all.z.select(1, row), own.z));
    }
  };
  const auto points = [&](const std::vector<int64_t>& rows, int64_t from, int64_t count) {
    std::vector<torch::Tensor> out;
    for (const auto row : rows) out.push_back(x[row].narrow(0, from, count));
    return torch::stack(out, 1);
  };
  HandwritingStream two(model, torch::kCPU, std::vector<uint64_t>{5, 6}), third(model, torch::kCPU, 7);
  compare(two.feed(points({0, 1}, 0, 8)), {0, 1}, 0, 8);
  CHECK(distance(third.feed(x[2].narrow(0, 0, 8)).raw, alone[2].feed(x[2].narrow(0, 0, 8)).raw) < 1e-5);
  auto crowd = HandwritingStream::join({&third, &two});
  REQUIRE((crowd.batched() && crowd.batch() == 3));
  compare(crowd.feed(points({2, 0, 1}, 8, 9)), {2, 0, 1}, 8, 9);
  auto left = crowd.select(1);
  const auto own = left.feed(x[0].narrow(0, 17, 13)), expected = alone[0].feed(x[0].narrow(0, 17, 13));
  CHECK(distance(own.raw, expected.raw) < 1e-5);
  CHECK(same(own.z, expected.z));
  CHECK_THROWS_WITH(crowd.feed(points({2, 0}, 17, 1)), ContainsSubstring("[T, 3, 3] with T at least 1"));
  CHECK_THROWS_WITH(crowd.select(3), ContainsSubstring("row must be in [0, 3), got 3"));
  CHECK_THROWS_WITH(HandwritingStream(model, torch::kCPU, std::vector<uint64_t>{}), ContainsSubstring("at least one"));
  HandwritingModel another(small_ink(core));
  const HandwritingStream foreign(another, torch::kCPU, 1);
  CHECK_THROWS_WITH(HandwritingStream::join({&crowd, &foreign}), ContainsSubstring("of another model"));
}

TEST_CASE("writing on draws from the density at every point, the same for the same seed") {
  torch::manual_seed(7);
  HandwritingModel model(small_ink());
  const auto start = walks({4})[0];
  const auto write = [&](uint64_t seed, double bias) {
    HandwritingStream stream(model, torch::kCPU, 1);
    auto generator = at::detail::createCPUGenerator(seed);
    return write_on(stream, start, 30, bias, generator);
  };
  const auto a = write(1, 0);
  CHECK(a.sizes() == torch::IntArrayRef({30, 3}));
  CHECK(same(a, write(1, 0)));
  CHECK_FALSE(same(a, write(2, 0)));
  CHECK((a.select(1, 2).eq(0) | a.select(1, 2).eq(1)).all().item<bool>());
  // Step by step: the first two points.
  HandwritingStream stream(model, torch::kCPU, 1);
  auto generator = at::detail::createCPUGenerator(1);
  const auto first = sample_mixture(read_mixture(stream.feed(start).raw), 0, generator).to(torch::kFloat32);
  const auto second =
      sample_mixture(read_mixture(stream.feed(first.unsqueeze(0)).raw), 0, generator).to(torch::kFloat32);
  CHECK(same(a[0], first));
  CHECK(same(a[1], second));
}

TEST_CASE("a stream of the control is the sequence fed whole, and finds no boundaries") {
  torch::manual_seed(8);
  HandwritingModel model(small_ink(Core::LSTM));
  const auto x = walks({12})[0];
  HandwritingStream stream(model, torch::kCPU, 1);
  stream.feed(x.narrow(0, 0, 5));
  const auto end = stream.feed(x.narrow(0, 5, 7));
  const torch::NoGradGuard no_grad;
  CHECK(distance(end.raw, model->forward(x.unsqueeze(1)).raw[11][0]) < 1e-5);
  CHECK(end.z.sizes() == torch::IntArrayRef({7, 0}));
}

TEST_CASE("Bernoulli boundaries of a stream are drawn from its seed") {
  torch::manual_seed(9);
  HandwritingModel model(small_ink().boundary(BoundaryMode::Bernoulli));
  const auto x = walks({60})[0];
  const auto z = [&](uint64_t seed) {
    torch::manual_seed(static_cast<uint64_t>(seed * 31 + 1));  // LibTorch's default generator must not matter
    return HandwritingStream(model, torch::kCPU, seed).feed(x).z;
  };
  const auto first = z(1);
  CHECK(same(first, z(1)));
  CHECK_FALSE(same(first, z(2)));
  CHECK((first.eq(0) | first.eq(1)).all().item<bool>());
}

TEST_CASE("a stream puts its model into evaluation mode and builds no graph") {
  torch::manual_seed(10);
  HandwritingModel model(small_ink().dropout(0.5));
  model->train();
  const auto x = walks({9})[0];
  const auto result = HandwritingStream(model, torch::kCPU, 1).feed(x);
  CHECK_FALSE(model->is_training());
  CHECK_FALSE(result.raw.requires_grad());
  CHECK(same(result.raw, HandwritingStream(model, torch::kCPU, 1).feed(x).raw));
  // Only a new stream does: joined and parted ones may serve beside a training.
  const HandwritingStream pair(model, torch::kCPU, std::vector<uint64_t>{1, 2});
  model->train();
  pair.select(1);
  CHECK(model->is_training());
}
