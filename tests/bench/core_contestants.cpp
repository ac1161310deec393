// Contestants that consist of recurrent layers only.
#include <tuple>

#include "bench/contestants.h"
#include "bench/flops.h"
#include "bench/ingredients.h"
#include "hmrnn/nn/hm_lstm.h"

namespace bench {

namespace {

/// One window through the layers of `model`, step by step and layer by layer, with plain autograd.
void step_cells(const hmrnn::HMLSTM& model, const torch::Tensor& x, const torch::Tensor& from_above) {
  const auto layers = static_cast<size_t>(model->num_layers());
  std::vector<hmrnn::HMLSTMCell> cells;
  std::vector<hmrnn::HMLSTMCellState> state;
  for (size_t l = 0; l < layers; ++l) {
    cells.emplace_back(std::dynamic_pointer_cast<hmrnn::HMLSTMCellImpl>(model->layers->ptr(l)));
    state.push_back(cells.back()->initial_state(x.size(1)));
  }
  const auto ones = torch::ones({x.size(1)}, x.options().requires_grad(false));
  std::vector<std::vector<torch::Tensor>> h(layers);
  for (int64_t t = 0; t < x.size(0); ++t) {
    auto below = x[t], z_below = ones;
    for (size_t l = 0; l < layers; ++l) {
      // The layer above has not computed this step yet: its h is that of t-1.
      const auto above = l + 1 < layers ? state[l + 1].h : torch::Tensor();
      state[l] = cells[l]->forward(below, z_below, state[l], above);
      h[l].push_back(state[l].h);
      below = state[l].h;
      z_below = state[l].z;
    }
  }
  std::vector<torch::Tensor> windows;
  for (const auto& steps : h) windows.push_back(torch::stack(steps));
  torch::autograd::backward(windows, std::vector<torch::Tensor>(layers, from_above));
}

}  // namespace

std::vector<Contestant> core_group(const Size& size, const Ground& ground) {
  const auto steps = size.window * size.batch;
  const auto input = torch::randn({size.window, size.batch, kInput}).to(ground.device);
  const auto from_above = torch::randn({size.window, size.batch, size.units}).to(ground.device);
  Contestant common;
  common.size = size;
  common.device = ground.device;
  common.characters = static_cast<double>(steps);

  std::vector<Contestant> group;
  for (const auto dtype : dtypes(ground.bfloat16)) {
    auto& lstm = group.emplace_back(common);
    lstm.name = "core/lstm";
    lstm.dtype = dtype;
    lstm.baseline = true;
    lstm.backend = backend_of_lstm(dtype, ground.device);
    lstm.flops = 3 * core_pass({}, steps, size.units, steps);
    lstm.run = [model = plain_lstm(size.units, dtype, ground.device), x = input.to(dtype, false, true).requires_grad_(),
                gradient = from_above.to(dtype)]() mutable {
      model->zero_grad();
      x.mutable_grad().reset();
      std::get<0>(model->forward(x)).backward(gradient);
    };
  }
  for (const bool layer_norm : {true, false}) {
    const auto options = hmrnn::HMLSTMOptions(kInput, std::vector<int64_t>(kLayers, size.units)).layer_norm(layer_norm);
    hmrnn::HMLSTM plain(options), dropping(regularised(options));
    plain->to(ground.device);
    dropping->to(ground.device);
    for (const auto& rates : rates_on(ground.device)) {
      const auto z = draw_boundaries(size.window, size.batch, rates);
      for (const auto& [dtype, drops] : each_of(dtypes(ground.bfloat16), regularisers(ground))) {
        auto core = common;
        core.name = drops ? "core/hm_lstm_regularised" : "core/hm_lstm";
        core.rates = rates;
        core.dtype = dtype;
        core.layer_norm = layer_norm;
        core.flops = 3 * core_pass(z, steps, size.units, steps);
        core.run = [model = drops ? dropping : plain, z = z.to(ground.device), dtype = dtype,
                    x = input.clone().requires_grad_(), from_above]() mutable {
          model->zero_grad();
          x.mutable_grad().reset();
          model->set_product_dtype(product_dtype(dtype));
          hmrnn::HMLSTMCall call;
          call.boundaries = z;
          call.boundary_gradient = true;
          const auto h = model->forward(x, std::nullopt, call).h;
          torch::autograd::backward(h, std::vector<torch::Tensor>(h.size(), from_above));
        };
        add_with_launches(group, core, ground.persistent);
      }
    }
    if (!ground.device.is_cuda() || !layer_norm || size.units > 512) continue;
    auto& cells = group.emplace_back(common);
    cells.name = "core/hm_lstm_cell";
    cells.layer_norm = layer_norm;
    cells.flops = 3 * core_pass(torch::ones({size.window, size.batch, kLayers - 1}), steps, size.units, steps);
    cells.run = [model = plain, x = input.clone().requires_grad_(), from_above]() mutable {
      model->zero_grad();
      x.mutable_grad().reset();
      step_cells(model, x, from_above);
    };
  }
  return group;
}

}  // namespace bench
