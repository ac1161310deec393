#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "support/gradient_check.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

HMLSTM random_model(const HMLSTMOptions& options, uint64_t seed = 12) {
  torch::manual_seed(seed);
  HMLSTM model(options);
  torch::NoGradGuard no_grad;
  for (auto& p : model->parameters()) p.add_(0.4 * torch::randn_like(p));
  return model;
}

const std::vector<int64_t> kSizes = {5, 3, 4};

}  // namespace

TEST_CASE("shapes of the outputs for any number of layers") {
  const auto sizes = GENERATE(std::vector<int64_t>{4}, std::vector<int64_t>{4, 1}, std::vector<int64_t>{3, 5, 2, 6, 4});
  const auto L = static_cast<int64_t>(sizes.size());
  HMLSTM model(2, sizes);
  CHECK(model->num_layers() == L);
  const auto out = model->forward(torch::randn({7, 3, 2}));
  REQUIRE(static_cast<int64_t>(out.h.size()) == L);
  for (int64_t l = 0; l < L; ++l) {
    CHECK(out.h[l].sizes() == torch::IntArrayRef({7, 3, sizes[l]}));
    CHECK(out.state.c[l].sizes() == torch::IntArrayRef({3, sizes[l]}));
    CHECK(same(out.state.h[l], out.h[l][6]));
  }
  CHECK(out.z.sizes() == torch::IntArrayRef({7, 3, L - 1}));
  CHECK(same(out.state.z, out.z[6]));
  CHECK(out.state.batch() == 3);
  CHECK(out.state_index.sizes() == torch::IntArrayRef({L, 7, 3}));
}

TEST_CASE("cells stepped by hand equal the reference bit for bit, over windows too") {
  const auto dtype = GENERATE(torch::kFloat32, torch::kFloat64);
  const bool norm = GENERATE(false, true);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Bernoulli, BoundaryMode::Soft);
  INFO("layer norm " << norm << ", " << to_string(mode));
  auto model = random_model(HMLSTMOptions(2, kSizes).layer_norm(norm).boundary(mode).slope(1.25));
  model->to(dtype);
  const int64_t T = 8, B = 3, L = 3;
  const auto input = torch::randn({T, B, 2}, dtype), noise = torch::rand({T, B, L - 1}, dtype);
  const auto drawn = mode == BoundaryMode::Bernoulli ? noise : torch::Tensor();

  std::vector<HMLSTMCellState> state;
  std::vector<std::vector<torch::Tensor>> h(L), z(L);
  for (int64_t l = 0; l < L; ++l) state.push_back(model->layers->ptr<HMLSTMCellImpl>(l)->initial_state(B));
  for (int64_t t = 0; t < T; ++t) {
    auto below = input[t], z_below = torch::ones({B}, dtype);
    for (int64_t l = 0; l < L; ++l) {
      const auto above = l + 1 < L ? state[l + 1].h : torch::Tensor();
      const auto cell_noise = l + 1 < L && drawn.defined() ? noise[t].select(1, l) : torch::Tensor();
      state[l] = model->layers->ptr<HMLSTMCellImpl>(l)->forward(below, z_below, state[l], above, 1.25, cell_noise);
      below = state[l].h;
      z_below = state[l].z;
      h[l].push_back(state[l].h);
      z[l].push_back(state[l].z);
    }
  }

  // The reference in two windows, with the state carried.
  BoundaryRule rule;
  rule.mode = mode;
  rule.slope = torch::tensor(1.25, dtype);
  const auto start = model->initial_state(B);
  const auto window = [&](int64_t from, int64_t to, const HMLSTMState& s) {
    if (drawn.defined()) rule.noise = noise.slice(0, from, to);
    return reference_window(model->layer_parameters(), input.slice(0, from, to), s.h, s.c, s.z, rule, torch::Tensor());
  };
  const auto a = window(0, 3, start);
  // Copies: the last bit of a BLAS product may depend on alignment, and a view into the window is aligned differently.
  const auto b = window(3, T, {{a.h[0][2].clone(), a.h[1][2].clone(), a.h[2][2].clone()}, a.c_n, a.z[2].clone()});
  HMLSTMCall call;
  call.noise = drawn;
  const auto out = model->forward(input, std::nullopt, call);
  const double close = dtype == torch::kFloat32 ? 1e-5 : 1e-13;
  for (int64_t l = 0; l < L; ++l) {
    CHECK(same(torch::cat({a.h[l], b.h[l]}), torch::stack(h[l])));
    CHECK(same(b.c_n[l], state[l].c));
    CHECK(distance(out.h[l], torch::stack(h[l])) < close);
    CHECK(distance(out.state.c[l], state[l].c) < close);
    if (l + 1 < L) CHECK(same(torch::cat({a.z, b.z}).select(2, l), torch::stack(z[l])));
    if (l + 1 < L) CHECK(distance(out.z.select(2, l), torch::stack(z[l])) < close);
  }
}

TEST_CASE("two windows of HMLSTM equal one long window") {
  const bool norm = GENERATE(false, true), indexed = GENERATE(false, true);
  const auto mode = GENERATE(BoundaryMode::Step, BoundaryMode::Soft);
  auto model = random_model(HMLSTMOptions(16, kSizes).layer_norm(norm).boundary(mode), 14);
  // Three rows: the last step's h is not aligned inside the window, which the carried state must compensate for. The
  // input's steps have 3·16 floats, so that both windows are aligned equally.
  const auto table = torch::randn({9, 16});
  const auto index = torch::randint(9, {12, 3}, torch::kInt64);
  const auto run = [&](int64_t from, int64_t to, const std::optional<HMLSTMState>& state) {
    const auto part = index.slice(0, from, to);
    return indexed ? model->forward_indexed(table, part, state) : model->forward(table.index({part}), state);
  };
  const auto whole = run(0, 12, std::nullopt);
  const auto first = run(0, 5, std::nullopt);
  const auto second = run(5, 12, first.state.detach());
  // In a longer window the same products are at other addresses, and BLAS may add in another order: rounding.
  const double close = 1e-5;
  for (size_t l = 0; l < 3; ++l) {
    CHECK(distance(torch::cat({first.h[l], second.h[l]}), whole.h[l]) < close);
    CHECK(distance(second.state.h[l], whole.state.h[l]) < close);
    CHECK(distance(second.state.c[l], whole.state.c[l]) < close);
  }
  CHECK_FALSE(first.state.h[0].is_alias_of(first.h[0]));  // a view would keep the whole window's memory alive
  CHECK(distance(torch::cat({first.z, second.z}), whole.z) < close);
  CHECK(distance(second.state.z, whole.state.z) < close);
  CHECK_FALSE(same(second.h[2], run(5, 12, std::nullopt).h[2]));  // the state matters
}

TEST_CASE("a carried state extends the graph, a detached one cuts it") {
  auto model = random_model(HMLSTMOptions(2, kSizes));
  const auto loss = [](const HMLSTMOutput& out) { return out.h[0].sum() + out.h[1].square().sum() + out.h[2].sum(); };
  const auto early = torch::randn({4, 2, 2}).requires_grad_(), late = torch::randn({3, 2, 2}).requires_grad_();
  const auto first = model->forward(early);
  const auto joined = model->forward(late, first.state);
  CHECK(torch::autograd::grad({loss(joined)}, {early}, {}, true)[0].abs().max().item<double>() > 0);
  const auto state = first.state.detach();
  CHECK_FALSE(state.h[0].requires_grad());
  CHECK_FALSE(state.c[2].requires_grad());
  CHECK_FALSE(state.z.requires_grad());
  CHECK(same(state.z, first.state.z));
  const auto cut = model->forward(late, state);
  const auto gradients = torch::autograd::grad({loss(cut)}, {early, late}, {}, true, false, /*allow_unused=*/true);
  CHECK_FALSE(gradients[0].defined());
  CHECK(gradients[1].abs().max().item<double>() > 0);
  CHECK(same(cut.h[2], joined.h[2]));
}

TEST_CASE("initial_state is zero, and is what forward starts from") {
  auto model = random_model(HMLSTMOptions(2, kSizes));
  model->to(torch::kFloat64);
  const auto state = model->initial_state(3);
  for (size_t l = 0; l < 3; ++l) {
    CHECK(same(state.h[l], torch::zeros({3, kSizes[l]}, torch::kFloat64)));
    CHECK(same(state.c[l], torch::zeros({3, kSizes[l]}, torch::kFloat64)));
  }
  CHECK(same(state.z, torch::zeros({3, 2}, torch::kFloat64)));
  CHECK_FALSE(HMLSTMState().defined());
  CHECK(state.defined());
  const auto input = torch::randn({4, 3, 2}, torch::kFloat64);
  CHECK(same(model->forward(input).h[2], model->forward(input, state).h[2]));
  CHECK(same(model->forward(input).h[2], model->forward(input, HMLSTMState()).h[2]));
}

TEST_CASE("the slope is set, saved, and used forwards and backwards") {
  auto model = random_model(HMLSTMOptions(2, {3, 4}).boundary(BoundaryMode::Soft).slope(0.5));
  CHECK(model->slope() == 0.5);
  const auto input = torch::randn({1, 2, 2});
  const auto z1 = model->forward(input).z;
  const auto g1 = torch::autograd::grad({z1.sum()}, {model->layer_parameters()[0].bias})[0][12].item<double>();
  model->set_slope(0.25);
  CHECK(model->slope() == 0.25);
  const auto z2 = model->forward(input).z;
  const auto g2 = torch::autograd::grad({z2.sum()}, {model->layer_parameters()[0].bias})[0][12].item<double>();
  CHECK(distance((z1 - 0.5) / 2, z2 - 0.5) < 1e-6);  // s is equal, and hardσ(s) − ½ = a s / 2
  CHECK(g1 == Approx(2 * 0.25));                     // B · a/2 without saturation
  CHECK(g2 == Approx(2 * 0.125));

  std::stringstream file;
  torch::save(model, file);
  HMLSTM loaded(2, std::vector<int64_t>{3, 4});
  torch::load(loaded, file);
  CHECK(loaded->slope() == 0.25);

  for (const double bad :
       {0.0, -1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(model->set_slope(bad), c10::Error);
    CHECK_THROWS_WITH(model->set_slope(bad), ContainsSubstring("slope"));
    CHECK_THROWS_WITH(HMLSTM(HMLSTMOptions(2, {3}).slope(bad)), ContainsSubstring("slope"));
  }
  CHECK(model->slope() == 0.25);
}

TEST_CASE("Bernoulli draws from LibTorch's generator unless noise is given") {
  auto model = random_model(HMLSTMOptions(2, kSizes).boundary(BoundaryMode::Bernoulli).slope(0.5));
  const auto input = torch::randn({20, 8, 2});
  torch::manual_seed(1);
  const auto a = model->forward(input).z, other = model->forward(input).z;
  torch::manual_seed(1);
  const auto b = model->forward(input).z;
  CHECK(same(a, b));
  CHECK_FALSE(same(a, other));
  HMLSTMCall call;
  call.noise = torch::rand({20, 8, 2});
  CHECK(same(model->forward(input, std::nullopt, call).z, model->forward(input, std::nullopt, call).z));
  call.noise = torch::ones({20, 8, 2});  // never below a probability
  CHECK(model->forward(input, std::nullopt, call).z.sum().item<double>() == 0);
}

TEST_CASE("given boundaries train the detector only on request") {
  auto model = random_model(HMLSTMOptions(2, kSizes).slope(0.25));
  const auto input = torch::randn({6, 3, 2});
  HMLSTMCall call;
  call.boundaries = torch::rand({6, 3, 2}).gt(0.5).to(torch::kFloat32);
  for (const bool gradient : {false, true}) {
    call.boundary_gradient = gradient;
    const auto out = model->forward(input, std::nullopt, call);
    CHECK(same(out.z.detach(), call.boundaries));
    const auto layer = model->layer_parameters()[0];
    const auto g = torch::autograd::grad({out.h[2].sum()}, {layer.bias})[0];
    CHECK((g[20].item<double>() != 0) == gradient);
    CHECK(g.slice(0, 0, 20).abs().max().item<double>() > 0);
  }
}

TEST_CASE("options reach the cells, and parameters have their names") {
  HMLSTM model(HMLSTMOptions(2, kSizes).forget_bias(0.5).boundary_bias(-0.25).eps(1e-3).layer_norm(true));
  for (int64_t l = 0; l < 3; ++l) {
    const auto cell = model->layers->ptr<HMLSTMCellImpl>(l);
    CHECK(cell->bias[0].item<float>() == 0.5f);
    CHECK(cell->bias.size(0) == 4 * kSizes[l] + (l < 2 ? 1 : 0));
    if (l < 2) CHECK(cell->bias[4 * kSizes[l]].item<float>() == -0.25f);
    CHECK(cell->options.input_size() == (l == 0 ? 2 : kSizes[l - 1]));
    CHECK(cell->options.above_size() == (l == 2 ? 0 : kSizes[l + 1]));
    CHECK(cell->cell_norm->options.eps() == 1e-3);
  }
  CHECK(model->named_parameters().contains("layers.0.recurrent"));
  CHECK(model->named_parameters().contains("layers.1.top_down_norm.bias"));
  CHECK_FALSE(model->named_parameters().contains("layers.2.top_down"));
  // eps is also used in the computation.
  HMLSTM fine(HMLSTMOptions(2, kSizes).eps(1e-12));
  const auto input = torch::randn({3, 2, 2});
  std::stringstream file;
  torch::save(model, file);
  torch::load(fine, file);
  CHECK(distance(fine->forward(input).h[0], model->forward(input).h[0]) > 1e-4);
}

TEST_CASE("HMLSTM names a bad argument") {
  CHECK_THROWS_AS(HMLSTM(2, std::vector<int64_t>{}), c10::Error);
  CHECK_THROWS_WITH(HMLSTM(2, std::vector<int64_t>{}), ContainsSubstring("hidden_sizes"));
  CHECK_THROWS_WITH(HMLSTM(2, std::vector<int64_t>{3, 0}), ContainsSubstring("hidden_size"));
  CHECK_THROWS_WITH(HMLSTM(0, std::vector<int64_t>{3}), ContainsSubstring("input_size"));
  HMLSTM model(2, kSizes);
  const auto input = torch::zeros({4, 3, 2});
  CHECK_THROWS_AS(model->forward(torch::zeros({4, 3, 5})), c10::Error);
  CHECK_THROWS_WITH(model->forward(torch::zeros({4, 3, 5})), ContainsSubstring("input"));
  CHECK_THROWS_WITH(model->forward(torch::zeros({4, 2})), ContainsSubstring("input"));
  CHECK_THROWS_WITH(model->forward(torch::zeros({0, 3, 2})), ContainsSubstring("at least one step"));
  CHECK_THROWS_WITH(model->forward(input.to(torch::kFloat64)), ContainsSubstring("input must be Float"));
  CHECK_THROWS_WITH(model->forward_indexed(torch::zeros({4, 3}), torch::zeros({2, 2}, torch::kInt64)),
                    ContainsSubstring("table"));
  CHECK_THROWS_WITH(model->forward_indexed(torch::zeros({4, 2}), torch::zeros({2, 2})), ContainsSubstring("index"));

  auto state = model->initial_state(2);  // wrong batch
  CHECK_THROWS_WITH(model->forward(input, state), ContainsSubstring("state.h"));
  state = model->initial_state(3);
  state.h.pop_back();
  CHECK_THROWS_WITH(model->forward(input, state), ContainsSubstring("3 layers"));
  state = model->initial_state(3);
  state.c[1] = torch::zeros({3, 4});
  CHECK_THROWS_WITH(model->forward(input, state), ContainsSubstring("state.c"));
  state = model->initial_state(3);
  state.z = torch::zeros({3, 1});
  CHECK_THROWS_WITH(model->forward(input, state), ContainsSubstring("state.z"));
  HMLSTMCall call;
  call.boundaries = torch::zeros({4, 1, 2});  // must not broadcast
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("boundaries"));
  call = {};
  call.noise = torch::zeros({4, 3, 1});
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("noise"));
  call = {};
  call.lengths = torch::tensor({4, 4}, torch::kInt64);
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("lengths"));
  call.lengths = torch::tensor({4.0, 4.0, 4.0});
  CHECK_THROWS_WITH(model->forward(input, std::nullopt, call), ContainsSubstring("lengths must be int64"));
}

TEST_CASE("HMLSTM clones, changes dtype, saves and loads") {
  auto model = random_model(HMLSTMOptions(2, kSizes).slope(1.5));
  const auto input = torch::randn({6, 3, 2});
  const auto expected = model->forward(input);
  const auto copy = std::dynamic_pointer_cast<HMLSTMImpl>(model->clone());
  CHECK(same(copy->forward(input).h[2], expected.h[2]));
  // The clone is independent, including its slope.
  copy->set_slope(0.5);
  CHECK(model->slope() == 1.5);
  CHECK(copy->slope() == 0.5);
  {
    torch::NoGradGuard no_grad;
    for (auto& p : copy->parameters()) p.zero_();
  }
  CHECK(copy->forward(input).h[2].abs().max().item<double>() == 0);
  CHECK(same(model->forward(input).h[2], expected.h[2]));

  std::stringstream file;
  torch::save(model, file);
  HMLSTM loaded(2, kSizes);
  torch::load(loaded, file);
  CHECK(same(loaded->forward(input).h[2], expected.h[2]));
  CHECK(same(loaded->forward(input).z, expected.z));

  model->to(torch::kFloat64);
  const auto wide = model->forward(input.to(torch::kFloat64));
  CHECK(wide.h[2].scalar_type() == torch::kFloat64);
  CHECK(wide.z.scalar_type() == torch::kFloat64);
  CHECK(distance(wide.h[0].to(torch::kFloat32), expected.h[0]) < 1e-4);
  CHECK(model->clone()->parameters()[0].scalar_type() == torch::kFloat64);
}

TEST_CASE("HMLSTM is the last of a Sequential, and prints") {
  torch::manual_seed(15);
  HMLSTM model(3, kSizes);
  torch::nn::Linear first(4, 3);
  torch::nn::Sequential sequential(first, model);
  const auto input = torch::randn({5, 2, 4});
  const auto out = sequential->forward<HMLSTMOutput>(input);
  CHECK(same(out.h[2], model->forward(first->forward(input)).h[2]));
  std::ostringstream text;
  text << sequential;
  CHECK_THAT(text.str(), ContainsSubstring("hmrnn::HMLSTM(input_size=3, hidden_sizes=[5, 3, 4], layer_norm=true, "
                                           "boundary=step)"));
  CHECK_THAT(text.str(), ContainsSubstring("hmrnn::HMLSTMCell(input_size=5, hidden_size=3, above_size=4"));
}
