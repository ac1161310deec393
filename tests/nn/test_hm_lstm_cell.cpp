#include <torch/serialize.h>

#include <cmath>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/nn/hm_lstm.h"
#include "hmrnn/nn/hm_lstm_cell.h"
#include "support/scalar_cell.h"
#include "support/tensors.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

std::map<std::string, std::vector<int64_t>> shapes(const torch::nn::Module& module) {
  std::map<std::string, std::vector<int64_t>> out;
  for (const auto& p : module.named_parameters()) out[p.key()] = p.value().sizes().vec();
  return out;
}

/// Gains and biases different from 1 and 0, so that a missing one is detected.
void randomise(torch::nn::Module& module) {
  torch::NoGradGuard no_grad;
  for (auto& p : module.parameters()) p.add_(0.4 * torch::randn_like(p));
}

}  // namespace

TEST_CASE("an inner cell has 4d + 1 rows, a top cell 4d") {
  const HMLSTMCell inner(HMLSTMCellOptions(5, 3).above_size(7));
  CHECK(shapes(*inner) == std::map<std::string, std::vector<int64_t>>{{"recurrent", {13, 3}},
                                                                      {"bottom_up", {13, 5}},
                                                                      {"top_down", {13, 7}},
                                                                      {"bias", {13}},
                                                                      {"recurrent_norm.weight", {12}},
                                                                      {"recurrent_norm.bias", {12}},
                                                                      {"bottom_up_norm.weight", {12}},
                                                                      {"bottom_up_norm.bias", {12}},
                                                                      {"top_down_norm.weight", {12}},
                                                                      {"top_down_norm.bias", {12}},
                                                                      {"cell_norm.weight", {3}},
                                                                      {"cell_norm.bias", {3}}});
  const HMLSTMCell top(HMLSTMCellOptions(5, 3).layer_norm(false));
  CHECK(shapes(*top) ==
        std::map<std::string, std::vector<int64_t>>{{"recurrent", {12, 3}}, {"bottom_up", {12, 5}}, {"bias", {12}}});
}

TEST_CASE("a cell starts as documented") {
  torch::manual_seed(4);
  HMLSTMCell cell(HMLSTMCellOptions(40, 64).above_size(30).forget_bias(0.75).boundary_bias(-0.25));
  const double bound = 1.0 / 8;
  for (const auto& matrix : {cell->recurrent, cell->bottom_up, cell->top_down}) {
    CHECK(matrix.abs().max().item<double>() <= bound);
    CHECK(matrix.max().item<double>() > 0.98 * bound);
    CHECK(matrix.min().item<double>() < -0.98 * bound);
    CHECK(matrix.mean().item<double>() == Approx(0).margin(0.005));
    CHECK(matrix.std().item<double>() == Approx(bound / std::sqrt(3.0)).epsilon(0.05));
  }
  CHECK(cell->bias.slice(0, 0, 64).eq(0.75).all().item<bool>());
  CHECK(cell->bias.slice(0, 64, 256).eq(0).all().item<bool>());
  CHECK(cell->bias[256].item<float>() == -0.25f);
  for (const auto& norm : {cell->recurrent_norm, cell->bottom_up_norm, cell->top_down_norm, cell->cell_norm}) {
    CHECK(norm->weight.eq(1).all().item<bool>());
    CHECK(norm->bias.eq(0).all().item<bool>());
  }
  // reset_parameters resets the norms too.
  const auto before = cell->recurrent.detach().clone();
  {
    torch::NoGradGuard no_grad;
    cell->cell_norm->weight.fill_(3);
    cell->bias.fill_(9);
  }
  cell->reset_parameters();
  CHECK(cell->cell_norm->weight.eq(1).all().item<bool>());
  CHECK(cell->bias.max().item<float>() == 0.75f);
  CHECK_FALSE(same(before, cell->recurrent.detach()));
}

TEST_CASE("an orthogonal start: one orthogonal block for all four gates of square matrices, Glorot elsewhere") {
  torch::manual_seed(3);
  HMLSTMCell cell(HMLSTMCellOptions(6, 20).above_size(20).init(Initialisation::Orthogonal).norm_gain(0.3));
  for (const auto& matrix : {cell->recurrent, cell->top_down}) {
    const auto block = matrix.narrow(0, 0, 20);
    CHECK(torch::allclose(block.mm(block.t()), torch::eye(20), 1e-4, 1e-5));
    for (int64_t gate = 1; gate < 4; ++gate) CHECK(torch::equal(matrix.narrow(0, 20 * gate, 20), block));
    const double bound = std::sqrt(6.0 / 21);
    CHECK(matrix[80].abs().max().item<double>() <= bound);
    CHECK(matrix[80].abs().max().item<double>() > 0.7 * bound);
  }
  const double bound = std::sqrt(6.0 / 26);
  const auto largest = cell->bottom_up.narrow(0, 0, 80).abs().max().item<double>();
  CHECK((largest <= bound && largest > 0.9 * bound));
  CHECK_FALSE(torch::equal(cell->bottom_up.narrow(0, 0, 20), cell->bottom_up.narrow(0, 20, 20)));
  CHECK(cell->recurrent_norm->weight.eq(0.3).all().item<bool>());
  CHECK(cell->bottom_up_norm->weight.eq(0.3).all().item<bool>());
  CHECK(cell->top_down_norm->weight.eq(0.3).all().item<bool>());
  CHECK(cell->cell_norm->weight.eq(1).all().item<bool>());
  CHECK(to_string(parse_initialisation("orthogonal")) == "orthogonal");
  CHECK_THROWS_WITH(parse_initialisation("ones"), ContainsSubstring("ones"));
}

TEST_CASE("a detector's norm is capped in each matrix, and nothing else is touched") {
  torch::manual_seed(4);
  HMLSTMCell cell(HMLSTMCellOptions(6, 8).above_size(5)), top(HMLSTMCellOptions(6, 8));
  {
    const torch::NoGradGuard no_grad;
    cell->recurrent[32].fill_(2);      // norm 2 √8
    cell->bottom_up[32].fill_(0.001);  // below the cap
    cell->top_down[32].fill_(0);       // norm 0
  }
  const auto gates = cell->recurrent.narrow(0, 0, 32).clone(), below = cell->bottom_up.clone();
  cell->cap_detector_norm(0.5);
  CHECK(cell->recurrent[32].norm().item<double>() == Approx(0.5));
  CHECK(torch::equal(cell->recurrent.narrow(0, 0, 32), gates));
  CHECK(torch::equal(cell->bottom_up, below));
  CHECK(cell->top_down[32].eq(0).all().item<bool>());
  const auto before = top->recurrent.clone();
  top->cap_detector_norm(1e-6);
  CHECK(torch::equal(top->recurrent, before));
  CHECK_THROWS_AS(cell->cap_detector_norm(0), c10::Error);
}

TEST_CASE("the bias of a detector is shifted, and nothing else is touched") {
  torch::manual_seed(4);
  HMLSTMCell cell(HMLSTMCellOptions(6, 8).above_size(5).boundary_bias(0.5)), top(HMLSTMCellOptions(6, 8));
  const auto gates = cell->bias.narrow(0, 0, 32).clone(), before = top->bias.clone();
  cell->shift_detector_bias(torch::tensor(-0.75));
  CHECK(cell->bias[32].item<double>() == Approx(-0.25));
  CHECK(torch::equal(cell->bias.narrow(0, 0, 32), gates));
  top->shift_detector_bias(torch::tensor(1.0));
  CHECK(torch::equal(top->bias, before));
  CHECK_THROWS_AS(cell->shift_detector_bias(torch::zeros({1})), c10::Error);
  HMLSTM stack(HMLSTMOptions(6, {8, 7, 5}));
  stack->shift_detector_biases(torch::tensor({1.0f, -2.0f}));
  for (const auto& [l, expected] : {std::pair{0, 1.0}, {1, -2.0}}) {
    const auto layer = stack->layers->ptr(l)->as<HMLSTMCell>();
    CHECK(layer->bias[4 * layer->options.hidden_size()].item<double>() == Approx(expected));
  }
  CHECK_THROWS_AS(stack->shift_detector_biases(torch::zeros({3})), c10::Error);
}

TEST_CASE("a cell computes the table of operations") {
  torch::manual_seed(5);
  const bool norm = GENERATE(false, true), top = GENERATE(false, true);
  INFO("layer norm " << norm << ", top " << top);
  HMLSTMCell cell(HMLSTMCellOptions(3, 4).above_size(top ? 0 : 2).layer_norm(norm));
  cell->to(torch::kFloat64);
  randomise(*cell);
  const auto below = torch::randn({4, 3}, torch::kFloat64), above = torch::randn({4, 2}, torch::kFloat64);
  const auto z_below = doubles({1, 0, 0, 1}, {4}), z = doubles({0, 0, 1, 1}, {4});
  HMLSTMCellState state{torch::randn({4, 4}, torch::kFloat64), torch::randn({4, 4}, torch::kFloat64), z};
  const auto next = cell->forward(below, z_below, state, top ? torch::Tensor() : above, 1.5);
  CHECK(next.z.defined() == !top);
  for (int64_t b = 0; b < 4; ++b) {
    const auto expected = scalar_step(cell->parameters_of_layer(), values(below[b]), b == 0 || b == 3,
                                      values(state.h[b]), values(state.c[b]), b >= 2, values(above[b]), 1.5);
    CHECK(distance(next.h[b], doubles(expected.h, {4})) < 1e-12);
    CHECK(distance(next.c[b], doubles(expected.c, {4})) < 1e-12);
    if (!top) CHECK(next.z[b].item<double>() == (expected.probability > 0.5 ? 1 : 0));
  }
}

TEST_CASE("a Bernoulli cell draws its own noise, or uses what it is given") {
  torch::manual_seed(6);
  HMLSTMCell cell(HMLSTMCellOptions(2, 3).above_size(3).boundary(BoundaryMode::Bernoulli).boundary_bias(0.2));
  const auto ones = torch::ones({400}), below = torch::zeros({400, 2}), above = torch::zeros({400, 3});
  const auto state = cell->initial_state(400);
  // With zero inputs and no top-down term, s is the boundary bias and p = 0.6.
  const auto run = [&](const torch::Tensor& noise = {}) {
    return cell->forward(below, ones, state, above, 1.0, noise).z.detach();
  };
  CHECK(run().mean().item<double>() == Approx(0.6).margin(0.1));
  CHECK_FALSE(same(run(), run()));
  CHECK(same(run(torch::full({400}, 0.59f)), ones));
  CHECK(same(run(torch::full({400}, 0.61f)), torch::zeros({400})));
  // The slope has an effect: p = (2·0.2 + 1) / 2 = 0.7.
  CHECK(same(cell->forward(below, ones, state, above, 2.0, torch::full({400}, 0.69f)).z.detach(), ones));
}

TEST_CASE("initial_state of a cell") {
  HMLSTMCell cell(HMLSTMCellOptions(2, 3).above_size(1));
  cell->to(torch::kFloat64);
  const auto state = cell->initial_state(5);
  CHECK(same(state.h, torch::zeros({5, 3}, torch::kFloat64)));
  CHECK(same(state.c, torch::zeros({5, 3}, torch::kFloat64)));
  CHECK(same(state.z, torch::zeros({5}, torch::kFloat64)));
  CHECK_FALSE(state.h.is_alias_of(state.c));
  CHECK_FALSE(HMLSTMCell(2, 3)->initial_state(5).z.defined());
}

TEST_CASE("a cell names a bad argument") {
  CHECK_THROWS_AS(HMLSTMCell(0, 3), c10::Error);
  CHECK_THROWS_WITH(HMLSTMCell(0, 3), ContainsSubstring("input_size"));
  CHECK_THROWS_WITH(HMLSTMCell(3, 0), ContainsSubstring("hidden_size"));
  CHECK_THROWS_WITH(HMLSTMCell(HMLSTMCellOptions(3, 2).above_size(-1)), ContainsSubstring("above_size"));
  CHECK_THROWS_WITH(HMLSTMCell(HMLSTMCellOptions(3, 2).eps(0)), ContainsSubstring("eps"));

  HMLSTMCell cell(HMLSTMCellOptions(3, 2).above_size(4));
  const auto state = cell->initial_state(5);
  const auto below = torch::zeros({5, 3}), ones = torch::ones({5}), above = torch::zeros({5, 4});
  CHECK_NOTHROW(cell->forward(below, ones, state, above));
  CHECK_THROWS_AS(cell->forward(torch::zeros({5, 2}), ones, state, above), c10::Error);
  CHECK_THROWS_WITH(cell->forward(torch::zeros({5, 2}), ones, state, above), ContainsSubstring("below"));
  CHECK_THROWS_WITH(cell->forward(torch::Tensor(), ones, state, above), ContainsSubstring("below"));
  CHECK_THROWS_WITH(cell->forward(torch::zeros({5}), ones, state, above), ContainsSubstring("below"));
  CHECK_THROWS_WITH(cell->forward(below.to(torch::kFloat64), ones, state, above), ContainsSubstring("below"));
  CHECK_THROWS_WITH(cell->forward(below, torch::ones({4}), state, above), ContainsSubstring("z_below"));
  CHECK_THROWS_WITH(cell->forward(below, ones, {state.c[0], state.c, state.z}, above), ContainsSubstring("state.h"));
  CHECK_THROWS_WITH(cell->forward(below, ones, {state.h, {}, state.z}, above), ContainsSubstring("state.c"));
  CHECK_THROWS_WITH(cell->forward(below, ones, {state.h, state.c, {}}, above), ContainsSubstring("state.z"));
  CHECK_THROWS_WITH(cell->forward(below, ones, state), ContainsSubstring("above"));
  for (const double slope : {0.0, -1.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_WITH(cell->forward(below, ones, state, above, slope), ContainsSubstring("slope"));
  for (const double bad : {0.5, 2.0, -1.0, std::numeric_limits<double>::quiet_NaN()}) {
    const auto z = torch::tensor({0.0, 1.0, bad, 0.0, 1.0}).to(torch::kFloat32);
    CHECK_THROWS_WITH(cell->forward(below, z, state, above), ContainsSubstring("z_below must be 0 or 1"));
    CHECK_THROWS_WITH(cell->forward(below, ones, {state.h, state.c, z}, above),
                      ContainsSubstring("state.z must be 0 or 1"));
    HMLSTMCell soft(HMLSTMCellOptions(3, 2).above_size(4).boundary(BoundaryMode::Soft));
    CHECK_NOTHROW(soft->forward(below, z, {state.h, state.c, z}, above));
  }
}

TEST_CASE("a cell clones, changes dtype, saves and loads, prints") {
  HMLSTMCell cell(HMLSTMCellOptions(3, 2).above_size(4));
  randomise(*cell);
  const auto copy = std::dynamic_pointer_cast<HMLSTMCellImpl>(cell->clone());
  for (const auto& p : cell->named_parameters()) {
    CHECK(same(copy->named_parameters()[p.key()], p.value()));
    CHECK_FALSE(copy->named_parameters()[p.key()].is_alias_of(p.value()));
  }
  // The members are the clone's parameters.
  CHECK(copy->recurrent.is_alias_of(copy->named_parameters()["recurrent"]));
  CHECK(copy->cell_norm->weight.is_alias_of(copy->named_parameters()["cell_norm.weight"]));

  std::stringstream file;
  torch::save(cell, file);
  HMLSTMCell loaded(HMLSTMCellOptions(3, 2).above_size(4));
  torch::load(loaded, file);
  for (const auto& p : cell->named_parameters()) CHECK(same(loaded->named_parameters()[p.key()], p.value()));

  cell->to(torch::kFloat64);
  CHECK(cell->recurrent.scalar_type() == torch::kFloat64);
  CHECK(cell->cell_norm->weight.scalar_type() == torch::kFloat64);

  std::ostringstream text;
  text << cell;
  CHECK(text.str() ==
        "hmrnn::HMLSTMCell(input_size=3, hidden_size=2, above_size=4, layer_norm=true, boundary=step)(\n"
        "  (recurrent_norm): torch::nn::LayerNorm([8], eps=1e-05, elementwise_affine=true)\n"
        "  (bottom_up_norm): torch::nn::LayerNorm([8], eps=1e-05, elementwise_affine=true)\n"
        "  (top_down_norm): torch::nn::LayerNorm([8], eps=1e-05, elementwise_affine=true)\n"
        "  (cell_norm): torch::nn::LayerNorm([2], eps=1e-05, elementwise_affine=true)\n)");
}
