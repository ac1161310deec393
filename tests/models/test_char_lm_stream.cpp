#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "catch.h"
#include "hmrnn/models/char_lm_stream.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

CharLM reading_model(Core core, BoundaryMode mode = BoundaryMode::Step, bool norm = true) {
  torch::manual_seed(5);
  CharLM model(CharLMOptions(7)
                   .embedding_size(5)
                   .hidden_sizes({6, 4, 3})
                   .output_embedding_size(8)
                   .core(core)
                   .boundary(mode)
                   .layer_norm(norm)
                   .dropout(0.5)
                   .recurrent_dropout(0.3)
                   .locked_dropout(0.3)
                   .weight_drop(0.3));
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.5 * torch::randn_like(p));
  return model;
}

}  // namespace

TEST_CASE("a text read symbol by symbol has the logits of the window") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const bool norm = GENERATE(true, false);
  auto model = reading_model(core, BoundaryMode::Step, norm);
  model->eval();  // step has no dropout in either mode
  const int64_t T = 50;
  const auto index = torch::randint(7, {T}, torch::kInt64);
  const auto expected = model->forward(index.unsqueeze(1));
  model->train();
  auto stream = model->stream();
  for (int64_t t = 0; t < T; ++t) {
    const bool predict = t % 3 != 1;  // the next prediction makes up for the products of W^e that this step leaves out
    const auto logits = model->step(index[t].item<int64_t>(), stream, {}, predict);
    REQUIRE(logits.defined() == predict);
    if (predict) REQUIRE(distance(logits, expected.logits[t][0]) < 1e-4);
    REQUIRE(same(stream.z(), expected.core.z[t][0]));
  }
  for (int64_t l = 0; l < 3; ++l) CHECK(distance(stream.state().h[l], expected.core.state.h[l]) < 1e-4);
}

TEST_CASE("texts that are read at once have the logits of the window, and of each alone") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const int64_t batch = GENERATE(1, 3, 8, 67);
  auto model = reading_model(core);
  model->to(dtype);
  model->eval();
  const double bound = dtype == torch::kFloat64 ? 1e-12 : 1e-4;
  const int64_t T = 20, stride = batch > 8 ? 13 : 1;  // every stride-th text is also read alone
  const auto index = torch::randint(7, {T, batch}, torch::kInt64);
  const auto expected = model->forward(index);
  auto crowd = model->streams(batch);
  std::vector<CharLMStream> alone;
  for (int64_t b = 0; b < batch; ++b) alone.push_back(model->stream());
  for (int64_t t = 0; t < T; ++t) {
    const bool predict = t % 3 != 1;
    const auto logits = model->step(index[t], crowd, {}, predict);
    REQUIRE(logits.defined() == predict);
    if (dtype == torch::kFloat64) {  // in float32 rounding may decide a boundary of some row sooner or later
      if (predict) REQUIRE(distance(logits, expected.logits[t]) < 1e-10);
      REQUIRE(same(crowd.z(), expected.core.z[t]));
    }
    for (int64_t b = 0; b < batch; b += stride) {
      const auto own = model->step(index[t][b].item<int64_t>(), alone[b], {}, predict);
      if (predict) REQUIRE(distance(own, logits[b]) < bound);
      for (int64_t l = 0; l < 3; ++l) {
        const auto h = crowd.state().h[l][b], h_alone = alone[b].state().h[l][0];
        REQUIRE(distance(h, h_alone) <= (core == Core::HMLSTM ? 0 : bound));
      }
    }
  }
}

TEST_CASE("texts join and part in the middle, with the logits that they have alone") {
  const auto core = GENERATE(Core::HMLSTM, Core::LSTM);
  const auto model = reading_model(core);
  const int64_t T = 30;
  const auto index = torch::randint(7, {4, T}, torch::kInt64);
  std::vector<torch::Tensor> expected;
  for (int64_t i = 0; i < 4; ++i) {
    auto stream = model->stream();
    std::vector<torch::Tensor> logits;
    for (int64_t t = 0; t < T; ++t) logits.push_back(model->step(index[i][t].item<int64_t>(), stream));
    expected.push_back(torch::stack(logits));
  }
  std::vector<int64_t> age(4, 0);
  const auto read = [&](CharLMStream& stream, const std::vector<int64_t>& texts) {
    std::vector<torch::Tensor> symbols;
    for (const auto i : texts) symbols.push_back(index[i][age[i]]);
    const auto logits = stream.batched() ? model->step(torch::stack(symbols), stream)
                                         : model->step(symbols[0].item<int64_t>(), stream).unsqueeze(0);
    for (size_t b = 0; b < texts.size(); ++b) {
      REQUIRE(distance(logits[static_cast<int64_t>(b)], expected[texts[b]][age[texts[b]]]) < 1e-4);
      ++age[texts[b]];
    }
  };
  auto first = model->stream(), second = model->stream();
  for (int t = 0; t < 5; ++t) read(first, {0});
  auto crowd = CharLMStream::join({&second, &first});
  CHECK(crowd.batch() == 2);
  for (int t = 0; t < 4; ++t) read(crowd, {1, 0});
  auto others = model->streams(2);
  for (int t = 0; t < 3; ++t) read(others, {2, 3});
  crowd = CharLMStream::join({&crowd, &others});
  for (int t = 0; t < 6; ++t) read(crowd, {1, 0, 2, 3});
  auto gone = crowd.select(1);
  crowd = crowd.select_rows({3, 0, 2});
  for (int t = 0; t < 5; ++t) read(crowd, {3, 1, 2});
  for (int t = 0; t < 5; ++t) read(gone, {0});
  auto parts = crowd.split();
  for (int t = 0; t < 4; ++t) read(parts[2], {2});
}

TEST_CASE("CharLMReader: pieces of any length give the same as one") {
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  const auto model = reading_model(Core::HMLSTM, mode);
  const auto index = torch::randint(7, {40}, torch::kInt64);
  CharLMReader whole(model, 3), pieces(model, 3), other(model, 4);
  const auto a = whole.feed(index);
  const auto first = pieces.feed(index.narrow(0, 0, 13));
  const auto second = pieces.feed(index.narrow(0, 13, 27));
  CHECK(a.z.sizes() == torch::IntArrayRef({40, 2}));
  CHECK(same(torch::cat({first.z, second.z}), a.z));
  CHECK(same(second.z_before, first.z[12]));
  CHECK(same(second.logits, a.logits));
  CHECK(same(a.z_before, torch::zeros({2})));
  if (mode == BoundaryMode::Bernoulli) CHECK_FALSE(same(other.feed(index).z, a.z));
}

TEST_CASE("sample_symbol: temperature") {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{1});
  const auto logits = torch::tensor({0.0f, 3.0f, 1.0f});
  CHECK(sample_symbol(logits, 0, generator) == 1);
  CHECK(sample_symbol(logits * 1000, 1e-6, generator) == 1);
  std::vector<int> seen(3);
  for (int i = 0; i < 2000; ++i) ++seen[sample_symbol(logits, 1, generator)];
  const auto p = torch::softmax(logits, 0);
  for (int i = 0; i < 3; ++i) CHECK(seen[i] / 2000.0 == Approx(p[i].item<double>()).margin(0.05));
  CHECK_THROWS_WITH(sample_symbol(logits, -1, generator), ContainsSubstring("temperature"));
  CHECK_THROWS_WITH(sample_symbol(logits.unsqueeze(0), 1, generator), ContainsSubstring("shape [V]"));
}

TEST_CASE("CharLM::step says what does not fit") {
  const auto model = reading_model(Core::HMLSTM), control = reading_model(Core::LSTM);
  auto stream = model->stream();
  CHECK_THROWS_WITH(model->step(7, stream), ContainsSubstring("symbol must be in [0, 7), got 7"));
  CHECK_THROWS_WITH(model->step(-1, stream), ContainsSubstring("got -1"));
  CHECK_THROWS_WITH(control->step(0, stream), ContainsSubstring("made by another model"));
  auto crowd = model->streams(2);
  const auto other = reading_model(Core::HMLSTM);
  auto foreign = other->stream();
  CHECK_THROWS_WITH(model->step(0, crowd), ContainsSubstring("a symbol for each of its texts"));
  CHECK_THROWS_WITH(model->step(torch::zeros({3}, torch::kInt64), crowd), ContainsSubstring("int64 [2]"));
  CHECK_THROWS_WITH(model->step(torch::zeros({1}, torch::kInt64), stream), ContainsSubstring("not batched"));
  CHECK_THROWS_WITH(model->step(torch::tensor({0, 7}, torch::kInt64), crowd), ContainsSubstring("[0, 7) everywhere"));
  CHECK_THROWS_WITH(CharLMStream::join({&crowd, &foreign}), ContainsSubstring("another module"));
  CHECK_THROWS_WITH(CharLMStream::join({}), ContainsSubstring("no streams"));
  CHECK_THROWS_WITH(crowd.select(2), ContainsSubstring("row must be in [0, 2), got 2"));
  CharLMReader reader(model, 1);
  CHECK_THROWS_WITH(reader.feed(torch::zeros({0}, torch::kInt64)), ContainsSubstring("int64 [T]"));
}
