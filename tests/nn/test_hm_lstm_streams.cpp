// Batched streams: rows that step together, are joined and selected. Single streams are in test_hm_lstm_stream.cpp.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <cmath>
#include <deque>
#include <string>
#include <thread>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

HMLSTM stack_for_crowds(const HMLSTMOptions& options) {
  torch::manual_seed(23);
  HMLSTM model(options);
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.4 * torch::randn_like(p));
  return model;
}

HMLSTMState state_of_rows(const HMLSTM& model, int64_t batch) {
  auto state = model->initial_state(batch);
  for (auto& x : state.h) x = torch::rand_like(x) - 0.5;
  for (auto& x : state.c) x = torch::randn_like(x);
  state.z = torch::rand_like(state.z).gt(0.5).to(state.z.scalar_type());
  return state;
}

/// Requires row `row` of `crowd` to equal the stream `alone` within `bound`; 0: bit for bit.
void require_same_row(const HMLSTMStream& crowd, int64_t row, const HMLSTMStream& alone, int64_t layers, double bound) {
  const auto equal = [&](const torch::Tensor& a, const torch::Tensor& b) {
    return bound == 0 ? same(a, b) : distance(a, b) <= bound;
  };
  REQUIRE(equal(crowd.z()[row], alone.z()));
  for (int64_t l = 0; l < layers; ++l) {
    INFO("layer " << l << ", row " << row);
    REQUIRE(equal(crowd.h(l)[row], alone.h(l)));
    REQUIRE(equal(crowd.state().c[l][row], alone.state().c[l][0]));
    REQUIRE(crowd.changed(l, row) == alone.changed(l));
  }
}

}  // namespace

TEST_CASE("rows of a batched stream are the same sequences alone, and the window") {
  const int64_t batch = GENERATE(1, 3, 8, 67);
  const auto sizes =
      GENERATE(std::vector<int64_t>{5}, std::vector<int64_t>{5, 9, 4}, std::vector<int64_t>{3, 17, 6, 2});
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const bool norm = GENERATE(true, false);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft);
  INFO(batch << " rows, layers " << sizes.size() << ", layer norm " << norm << ", " << to_string(mode) << ", "
             << dtype);
  auto model = stack_for_crowds(HMLSTMOptions(3, sizes).layer_norm(norm).boundary(mode).slope(1.25));
  model->to(dtype);
  const int64_t T = 12, L = static_cast<int64_t>(sizes.size());
  const auto start = state_of_rows(model, batch);
  const auto input = torch::randn({T, batch, 3}, dtype);
  HMLSTMCall call;
  if (mode == BoundaryMode::Bernoulli) call.noise = torch::rand({T, batch, L - 1}, dtype);
  const auto expected = model->forward(input, start, call);
  const double bound = dtype == torch::kFloat64 ? 1e-10 : 1e-3;
  const int64_t stride = batch > 8 ? 13 : 1;  // every stride-th row is compared with a single stream
  // Soft boundaries are computed by the reference, with products by the BLAS, which may sum in another order for
  // another number of rows. Layer norm of a few units enlarges the difference from step to step, so that in float32
  // each step begins anew from equal states; float64 compares whole sequences.
  const double alone_bound = mode == BoundaryMode::Soft ? (dtype == torch::kFloat64 ? 1e-12 : 1e-5) : 0;
  const bool anew = mode == BoundaryMode::Soft && dtype == torch::kFloat32;

  auto crowd = model->streams(start);
  REQUIRE((crowd.batched() && crowd.batch() == batch));
  std::vector<HMLSTMStream> alone;
  for (int64_t b = 0; b < batch; ++b) alone.push_back(model->stream(start.select_rows({b})));
  for (int64_t t = 0; t < T; ++t) {
    HMLSTMStepCall step;
    if (call.noise.defined()) step.noise = call.noise[t];
    model->step(input[t], crowd, step);
    // In float32 rounding may decide a boundary of some row sooner or later.
    for (int64_t l = 0; l < L && (dtype == torch::kFloat64 || t < 4); ++l) {
      REQUIRE(distance(crowd.h(l), expected.h[l][t]) < bound);
      if (l == 0) REQUIRE(distance(crowd.z(), expected.z[t]) <= (mode == BoundaryMode::Soft ? bound : 0));
    }
    for (int64_t b = 0; b < batch; b += stride) {
      if (call.noise.defined()) step.noise = call.noise[t][b];
      model->step(input[t][b], alone[b], step);
      require_same_row(crowd, b, alone[b], L, alone_bound);
      if (anew) alone[b] = model->stream(crowd.state().select_rows({b}));
    }
  }
  const auto end = crowd.state();
  for (int64_t l = 0; l < L && dtype == torch::kFloat64; ++l) {
    CHECK(distance(end.h[l], expected.state.h[l]) < bound);
    CHECK(distance(end.c[l], expected.state.c[l]) < bound);
  }
}

TEST_CASE("rows join at different ages, are split and continue, every bit as alone") {
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli);
  const bool indexed = GENERATE(true, false);
  auto model = stack_for_crowds(HMLSTMOptions(6, {33, 17, 20}).boundary(mode));
  model->to(dtype);
  const auto table = torch::randn({11, 6}, dtype);
  const int64_t sequences = 9, T = 60, L = 3;
  const auto symbols = torch::randint(11, {sequences, T}, torch::kInt64);
  const auto noise = torch::rand({sequences, T, L - 1}, dtype);
  std::vector<HMLSTMStream> alone;
  for (int64_t i = 0; i < sequences; ++i) alone.push_back(model->stream());
  std::vector<int64_t> age(sequences, 0);
  const auto step_alone = [&](HMLSTMStream& stream, int64_t i) {
    HMLSTMStepCall call;
    if (mode == BoundaryMode::Bernoulli) call.noise = noise[i][age[i]];
    const auto symbol = symbols[i][age[i]].item<int64_t>();
    indexed ? model->step_indexed(table, symbol, stream, call) : model->step(table[symbol], stream, call);
  };
  const auto step_crowd = [&](HMLSTMStream& crowd, const std::vector<int64_t>& members) {
    std::vector<torch::Tensor> index, draws;
    for (const auto i : members) {
      index.push_back(symbols[i][age[i]]);
      draws.push_back(noise[i][age[i]]);
    }
    HMLSTMStepCall call;
    if (mode == BoundaryMode::Bernoulli) call.noise = torch::stack(draws);
    const auto rows = torch::stack(index);
    indexed ? model->step_indexed(table, rows, crowd, call) : model->step(table.index_select(0, rows), crowd, call);
    for (size_t b = 0; b < members.size(); ++b) {
      step_alone(alone[members[b]], members[b]);
      ++age[members[b]];
      require_same_row(crowd, static_cast<int64_t>(b), alone[members[b]], L, 0);
    }
  };
  // Of the first five streams, stream i has read 3 i symbols when they are joined.
  std::deque<HMLSTMStream> apart;
  for (int64_t i = 0; i < 5; ++i) {
    auto& own = apart.emplace_back(model->stream());
    for (int64_t t = 0; t < 3 * i; ++t) {
      step_alone(own, i);
      step_alone(alone[i], i);
      ++age[i];
    }
  }
  std::vector<const HMLSTMStream*> first;
  for (const auto& stream : apart) first.push_back(&stream);
  std::vector<int64_t> members{0, 1, 2, 3, 4};
  auto crowd = HMLSTMStream::join(first);
  CHECK(crowd.batch() == 5);
  for (int t = 0; t < 10; ++t) step_crowd(crowd, members);
  // Four more rows step in a separate batch, then join the first; two rows are dropped, the others change their order.
  std::vector<int64_t> others{5, 6, 7, 8};
  auto more = model->streams(4);
  for (int t = 0; t < 7; ++t) step_crowd(more, others);
  auto left = crowd.select(2);
  crowd = HMLSTMStream::join({&more, &crowd});  // 5 6 7 8 0 1 2 3 4
  crowd = crowd.select_rows({8, 0, 4, 1, 7, 3, 5});
  members = {4, 5, 0, 6, 3, 8, 1};
  for (int t = 0; t < 10; ++t) step_crowd(crowd, members);
  // Row 2, selected before, continues as a single stream, and so does each of the others.
  for (int t = 0; t < 5; ++t) {
    step_alone(left, 2);
    step_alone(alone[2], 2);
    ++age[2];
    for (int64_t l = 0; l < L; ++l) REQUIRE(same(left.h(l), alone[2].h(l)));
  }
  std::vector<torch::Tensor> before;
  for (int64_t l = 0; l < L; ++l) before.push_back(crowd.h(l).clone());
  auto parts = crowd.split();
  REQUIRE(parts.size() == members.size());
  for (size_t b = 0; b < parts.size(); ++b) {
    CHECK_FALSE(parts[b].batched());
    for (int t = 0; t < 8; ++t) {
      step_alone(parts[b], members[b]);
      step_alone(alone[members[b]], members[b]);
      ++age[members[b]];
      REQUIRE(same(parts[b].z(), alone[members[b]].z()));
      for (int64_t l = 0; l < L; ++l) REQUIRE(same(parts[b].h(l), alone[members[b]].h(l)));
    }
  }
  // Parts are copies: their steps must not change the batch.
  for (int64_t l = 0; l < L; ++l) CHECK(same(crowd.h(l), before[l]));
  step_crowd(crowd = HMLSTMStream::join({&parts[0], &parts[1]}), {members[0], members[1]});
}

TEST_CASE("a row may be taken twice: two futures of one past") {
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Soft);
  const auto model = stack_for_crowds(HMLSTMOptions(3, {5, 4}).boundary(mode));
  auto past = model->stream();
  for (int t = 0; t < 6; ++t) model->step(torch::randn({3}), past);
  auto futures = HMLSTMStream::join({&past, &past, &past});
  const auto x = torch::randn({3, 3});
  model->step(x, futures);
  CHECK_FALSE(same(futures.h(0)[0], futures.h(0)[1]));
  auto again = futures.select_rows({1, 1});
  CHECK(same(again.h(1)[0], again.h(1)[1]));
  model->step(x[2], past);
  for (int64_t l = 0; l < 2; ++l)
    CHECK(distance(futures.h(l)[2], past.h(l)) <= (mode == BoundaryMode::Soft ? 1e-6 : 0));
}

TEST_CASE("given boundaries of a batched stream, and parameters that are not contiguous") {
  auto model = stack_for_crowds(HMLSTMOptions(3, {5, 4, 6}));
  model->to(torch::kFloat64);
  if (GENERATE(false, true)) {
    const torch::NoGradGuard no_grad;
    for (auto& p : model->parameters()) {
      p.set_data(p.dim() == 2 ? p.t().contiguous().t() : torch::stack({p, -p}, 1).select(1, 0));
    }
  }
  const int64_t T = 20, B = 8;
  HMLSTMCall call;
  call.boundaries = torch::rand({T, B, 2}, torch::kFloat64).lt(0.4).to(torch::kFloat64);
  const auto input = torch::randn({T, B, 3}, torch::kFloat64);
  const auto expected = model->forward(input, std::nullopt, call);
  auto first = model->streams(3), second = model->streams(5);
  auto crowd = HMLSTMStream::join({&first, &second});
  HMLSTMStepCall step;
  for (int64_t t = 0; t < T; ++t) {
    step.boundaries = call.boundaries[t].t().contiguous().t();  // not contiguous either
    model->step(input[t], crowd, step);
    for (int64_t l = 0; l < 3; ++l) REQUIRE(distance(crowd.h(l), expected.h[l][t]) < 1e-10);
  }
}

TEST_CASE("large layers: rows and products are shared by threads, with the same bits") {
  auto model = stack_for_crowds(HMLSTMOptions(40, {301, 258}));
  const auto input = torch::randn({6, 33, 40});
  const auto expected = model->forward(input);
  const auto read = [&](int threads) {
    const auto before = at::get_num_threads();
    at::set_num_threads(threads);
    auto crowd = model->streams(33);
    for (int64_t t = 0; t < 6; ++t) model->step(input[t], crowd);
    at::set_num_threads(before);
    return crowd.state();
  };
  const auto one = read(1);
  for (int64_t l = 0; l < 2; ++l) CHECK(distance(one.h[l], expected.state.h[l]) < 1e-4);
  for (const int threads : {2, 5}) {
    const auto several = read(threads);
    for (int64_t l = 0; l < 2; ++l) CHECK(same(several.h[l], one.h[l]));
    CHECK(same(several.z, one.z));
  }
}

TEST_CASE("streams that were taken from one another may step on several threads") {
  const auto model = stack_for_crowds(HMLSTMOptions(4, {16, 12, 8}));
  const auto table = torch::randn({40, 4});
  const int64_t T = 200;
  const auto symbols = torch::randint(40, {4, T}, torch::kInt64);
  const auto read = [&](HMLSTMStream& stream, int64_t i) {
    for (int64_t t = 0; t < T; ++t) model->step_indexed(table, symbols[i][t].item<int64_t>(), stream);
  };
  auto parts = model->streams(4).split();  // they share a cache of W x for the table's rows, filled while they read
  std::vector<std::thread> threads;
  for (int64_t i = 0; i < 4; ++i) threads.emplace_back([&, i] { read(parts[i], i); });
  for (auto& thread : threads) thread.join();
  for (int64_t i = 0; i < 4; ++i) {
    auto alone = model->stream();
    read(alone, i);
    for (int64_t l = 0; l < 3; ++l) CHECK(same(parts[i].h(l), alone.h(l)));
  }
}

TEST_CASE("a batched stream draws Bernoulli boundaries from LibTorch's generator") {
  const auto model = stack_for_crowds(HMLSTMOptions(3, {5, 4, 3}).boundary(BoundaryMode::Bernoulli));
  const auto x = torch::randn({4, 3});
  const auto read = [&](const torch::Tensor& noise) {
    auto crowd = model->streams(4);
    HMLSTMStepCall call;
    call.noise = noise;
    torch::manual_seed(3);
    model->step(x, crowd, call);
    return crowd.z().clone();
  };
  torch::manual_seed(3);
  CHECK(same(read({}), read(torch::rand({4, 2}))));
}

TEST_CASE("a stream keeps the parameters that it was made with") {
  auto model = stack_for_crowds(HMLSTMOptions(3, {5, 4}));
  const auto x = torch::randn({2, 3});
  auto stream = model->streams(2), expected = model->streams(2);
  model->step(x, expected);
  model->to(torch::kFloat64);  // allocates new memory for each parameter, and frees the old
  std::vector<torch::Tensor> reused;
  for (int i = 0; i < 100; ++i) reused.push_back(torch::full({25}, std::nan("")));
  model->step(x, stream);
  for (int64_t l = 0; l < 2; ++l) CHECK(same(stream.h(l), expected.h(l)));
  const auto newer = model->streams(1);
  CHECK_THROWS_WITH(HMLSTMStream::join({&stream, &newer}), ContainsSubstring("stream 1 was made by another module"));
}

TEST_CASE("a batched stream says what does not fit") {
  const HMLSTM model(3, std::vector<int64_t>{5, 4}), other(3, std::vector<int64_t>{5, 4});
  auto single = model->stream(), crowd = model->streams(2), foreign = other->streams(2);
  const auto x = torch::zeros({2, 3}), table = torch::zeros({7, 3});
  CHECK_THROWS_WITH(model->step(x, single), ContainsSubstring("input must have shape [3], got [2, 3]"));
  CHECK_THROWS_WITH(model->step(x[0], crowd), ContainsSubstring("input must have shape [2, 3], got [3]"));
  CHECK_THROWS_WITH(model->step(torch::zeros({3, 3}), crowd), ContainsSubstring("[2, 3], got [3, 3]"));
  HMLSTMStepCall call;
  call.boundaries = torch::zeros({1});
  CHECK_THROWS_WITH(model->step(x, crowd, call), ContainsSubstring("boundaries must have shape [2, 1], got [1]"));
  call.boundaries = torch::tensor({{0.0f}, {0.5f}});
  CHECK_THROWS_WITH(model->step(x, crowd, call), ContainsSubstring("boundaries must be 0 or 1"));
  CHECK(same(crowd.h(0), torch::zeros({2, 5})));  // no row has moved
  const auto index = torch::tensor({3, 7}, torch::kInt64);
  CHECK_THROWS_WITH(model->step_indexed(table, index, crowd), ContainsSubstring("index must be in [0, 7), got 7"));
  CHECK_THROWS_WITH(model->step_indexed(table, index, single), ContainsSubstring("not batched"));
  CHECK_THROWS_WITH(model->step_indexed(table, index.to(torch::kInt32), crowd), ContainsSubstring("int64 [2]"));
  CHECK_THROWS_WITH(model->step_indexed(table, 3, crowd), ContainsSubstring("an index for each of its rows"));
  CHECK_THROWS_WITH(HMLSTMStream::join({}), ContainsSubstring("no rows"));
  CHECK_THROWS_WITH(HMLSTMStream::join({&crowd, nullptr}), ContainsSubstring("stream 1 is null"));
  CHECK_THROWS_WITH(HMLSTMStream::join({&crowd, &foreign}), ContainsSubstring("stream 1 was made by another module"));
  CHECK_THROWS_WITH(crowd.select(2), ContainsSubstring("row must be in [0, 2), got 2"));
  CHECK_THROWS_WITH(crowd.select_rows({0, -1}), ContainsSubstring("got -1"));
  CHECK_THROWS_WITH(crowd.select_rows({}), ContainsSubstring("no rows"));
  CHECK_THROWS_WITH(crowd.changed(0, 2), ContainsSubstring("row must be in [0, 2)"));
  CHECK_THROWS_WITH(model->streams(0), ContainsSubstring("batch must be at least 1, got 0"));
  CHECK_THROWS_WITH(model->streams(HMLSTMState{}), ContainsSubstring("no tensors"));
  const auto moved = std::move(crowd);
  CHECK_THROWS_WITH(crowd.select(0), ContainsSubstring("moved from"));
  CHECK_THROWS_WITH(HMLSTMState::join({}), ContainsSubstring("no states"));
  CHECK_THROWS_WITH(HMLSTMState::join({model->initial_state(1), HMLSTM(3, std::vector<int64_t>{5})->initial_state(1)}),
                    ContainsSubstring("2 layers"));
  CHECK_THROWS_WITH(model->initial_state(2).select_rows({2}), ContainsSubstring("row must be in [0, 2)"));
}
