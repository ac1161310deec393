// The operators accept tensors with any strides and offsets: each argument in turn is non-contiguous, expanded, or a
// part of another tensor, and results and gradients equal those of a contiguous copy.
#include <torch/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "catch.h"
#include "hmrnn/ops/gated_output.h"
#include "hmrnn/ops/hm_lstm.h"
#include "support/random_problem.h"

using namespace hmrnn;
using namespace hmrnn::test;

namespace {

struct Layout {
  std::string name;
  std::function<torch::Tensor(const torch::Tensor&)> of;  ///< undefined if a tensor of this shape has no such layout
};

std::vector<Layout> layouts() {
  const auto none = torch::Tensor();
  return {{"not contiguous",  // every second column of a matrix twice as wide; every second value of a longer vector
           [=](const torch::Tensor& x) {
             if (x.dim() == 0) return none;
             return torch::stack({x, x + 1}, -1).select(-1, 0);
           }},
          {"transposed",
           [=](const torch::Tensor& x) {
             if (x.dim() < 2) return none;
             return x.transpose(0, -1).contiguous().transpose(0, -1);
           }},
          {"expanded",  // all rows share the first one's memory
           [=](const torch::Tensor& x) {
             if (x.dim() == 0) return none;
             return x.select(0, 0).clone().unsqueeze(0).expand(x.sizes());
           }},
          {"offset",  // aligned to one value only
           [=](const torch::Tensor& x) {
             auto memory = torch::empty({x.numel() + 1}, x.options());
             auto out = memory.narrow(0, 1, x.numel()).view(x.sizes());
             out.copy_(x);
             return out;
           }}};
}

/// A named tensor argument of an operator.
struct Argument {
  std::string name;
  torch::Tensor* tensor;
};

std::vector<Argument> arguments(Problem& p) {
  std::vector<Argument> out;
  const auto add = [&](const std::string& name, torch::Tensor& x) {
    if (x.defined()) out.push_back({name, &x});
  };
  for (size_t l = 0; l < p.layers.size(); ++l) {
    auto& y = p.layers[l];
    const auto of = "layers." + std::to_string(l) + ".";
    add(of + "recurrent", y.recurrent), add(of + "bottom_up", y.bottom_up), add(of + "top_down", y.top_down);
    add(of + "bias", y.bias);
    const auto add_norm = [&](const std::string& name, NormParameters& norm) {
      add(of + name + ".weight", norm.weight), add(of + name + ".bias", norm.bias);
    };
    add_norm("recurrent_norm", y.recurrent_norm), add_norm("bottom_up_norm", y.bottom_up_norm);
    add_norm("top_down_norm", y.top_down_norm), add_norm("cell_norm", y.cell_norm);
    add("h0." + std::to_string(l), p.window.h0[l]);
    add("c0." + std::to_string(l), p.window.c0[l]);
  }
  add("input", p.window.input), add("index", p.window.index), add("z0", p.window.z0), add("lengths", p.window.lengths);
  add("slope", p.rule.slope), add("noise", p.rule.noise), add("given", p.rule.given);
  add("dropout seed", p.dropout.seed), add("locked mask", p.dropout.locked_mask);
  return out;
}

std::vector<torch::Tensor> all_outputs(const WindowResult& r) {
  auto out = r.h;
  out.insert(out.end(), r.c_n.begin(), r.c_n.end());
  out.push_back(r.z);
  return out;
}

/// A window, and its gradients with respect to all leaves.
std::vector<torch::Tensor> run(const Problem& p) {
  const auto result = p.op();
  auto out = all_outputs(result);
  const auto gradients = autograd_gradients(weighted_sum(result), p.leaves());
  out.insert(out.end(), gradients.begin(), gradients.end());
  return out;
}

void check_same(const std::vector<torch::Tensor>& got, const std::vector<torch::Tensor>& want, double bound) {
  REQUIRE(got.size() == want.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double size = want[i].numel() > 0 ? std::max(1.0, want[i].abs().max().item<double>()) : 1.0;
    worst = std::max(worst, distance(got[i], want[i]) / size);
  }
  CHECK(worst <= bound);
}

/// `x`, as a leaf if `before` was one.
torch::Tensor as_before(const torch::Tensor& x, const torch::Tensor& before) {
  return x.detach().requires_grad_(before.requires_grad());
}

}  // namespace

TEST_CASE("hm_lstm takes every argument in any layout") {
  const auto dtype = GENERATE(torch::kFloat64, torch::kFloat32);
  const bool second = GENERATE(false, true);
  const double bound =
      dtype == torch::kFloat64 ? 1e-12 : 1e-4;  // a BLAS may add in another order for unaligned tensors
  auto p = random_problem({.sizes = {4, 3, 5}, .steps = 5, .batch = 3, .seed = 23, .dtype = dtype});
  if (second) {  // arguments that exclude those of the first
    p.window.input = p.normal({4, 2}).requires_grad_();
    p.window.index = torch::randint(0, 4, {5, 3}, p.generator, torch::kInt64);
    p.rule.given = p.uniform({5, 3, 2}).lt(0.5).to(dtype);
    p.rule.boundary_gradient = true;
  } else {
    p.rule.mode = BoundaryMode::Bernoulli;
    p.rule.noise = p.uniform({5, 3, 2});
    p.window.lengths = torch::tensor({5, 2, 4}, torch::kInt64);
    p.regularise(0.3, 0.3);
  }
  int checked = 0;
  for (size_t i = 0; i < arguments(p).size(); ++i) {
    for (const auto& layout : layouts()) {
      auto strided = p, plain = p;
      const auto argument = arguments(p)[i];
      const auto& before = *argument.tensor;
      const auto changed = layout.of(before.detach());
      if (!changed.defined()) continue;
      INFO(argument.name << ", " << layout.name << ", " << dtype);
      CHECK((layout.name == "offset" || before.numel() < 2 || !changed.is_contiguous()));
      *arguments(strided)[i].tensor = as_before(changed, before);
      *arguments(plain)[i].tensor = as_before(changed.clone(at::MemoryFormat::Contiguous), before);
      check_same(run(strided), run(plain), bound);
      ++checked;
    }
  }
  CHECK(checked > 120);
}

TEST_CASE("hm_lstm takes the gradients of its outputs in any layout") {
  const auto p = random_problem({.sizes = {4, 3, 5}, .steps = 5, .batch = 3, .seed = 29});
  const auto result = p.op();
  const auto y = all_outputs(result);
  const auto leaves = p.leaves();
  std::vector<torch::Tensor> inputs;
  for (const auto& leaf : leaves) inputs.push_back(leaf.second);
  for (size_t i = 0; i < y.size(); ++i) {
    const auto drawn = torch::randn(y[i].sizes(), p.generator, p.like);
    for (const auto& layout : layouts()) {
      INFO("output " << i << ", " << layout.name);
      const auto changed = layout.of(drawn);
      const auto of = [&](const torch::Tensor& gradient) {
        auto out = torch::autograd::grad({y[i]}, inputs, {gradient}, /*retain_graph=*/true, false, true);
        for (size_t k = 0; k < out.size(); ++k) {
          if (!out[k].defined()) out[k] = torch::zeros_like(inputs[k]);
        }
        return out;
      };
      check_same(of(changed), of(changed.clone(at::MemoryFormat::Contiguous)), 1e-12);
    }
  }
}

TEST_CASE("gated_output takes every argument, and its gradient, in any layout") {
  const auto p = random_problem({.sizes = {4, 3}, .steps = 5, .batch = 3, .seed = 31});
  const auto window = p.op();
  struct Arguments {
    std::vector<torch::Tensor> h, embedding;
    torch::Tensor state_index, gates, gradient;
    std::vector<Argument> all() {
      std::vector<Argument> out{{"state_index", &state_index}, {"gates", &gates}, {"gradient", &gradient}};
      for (size_t l = 0; l < h.size(); ++l) {
        out.push_back({"h." + std::to_string(l), &h[l]});
        out.push_back({"embedding." + std::to_string(l), &embedding[l]});
      }
      return out;
    }
  } a;
  for (size_t l = 0; l < 2; ++l) {
    a.h.push_back(window.h[l].detach().requires_grad_());
    a.embedding.push_back(p.normal({6, window.h[l].size(2)}).requires_grad_());
  }
  a.state_index = window.state_index;
  a.gates = p.normal({2, 7}).requires_grad_();
  a.gradient = p.normal({5, 3, 6});
  const auto run = [](const Arguments& x) {
    const auto y = gated_output(x.h, x.state_index, x.gates, x.embedding);
    std::vector<torch::Tensor> inputs = x.h;
    inputs.push_back(x.gates);
    inputs.insert(inputs.end(), x.embedding.begin(), x.embedding.end());
    auto out = torch::autograd::grad({y}, inputs, {x.gradient});
    out.push_back(y.detach());
    return out;
  };
  for (size_t i = 0; i < a.all().size(); ++i) {
    for (const auto& layout : layouts()) {
      auto strided = a, plain = a;
      const auto argument = a.all()[i];
      // Expanding state_index [L, T, B] would give all layers the numbers of the first, which are not those of their h.
      if (layout.name == "expanded" && argument.name == "state_index") continue;
      // If h is the same at every step, state_index does not matter.
      const auto changed = layout.of(argument.tensor->detach());
      if (!changed.defined()) continue;
      INFO(argument.name << ", " << layout.name);
      *strided.all()[i].tensor = as_before(changed, *argument.tensor);
      *plain.all()[i].tensor = as_before(changed.clone(at::MemoryFormat::Contiguous), *argument.tensor);
      check_same(run(strided), run(plain), 1e-12);
    }
  }
}
