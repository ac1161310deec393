#include "hmrnn/nn/window_checks.h"

namespace hmrnn {

WindowInput sequence_window(const char* module, const torch::Tensor& input, int64_t input_size) {
  TORCH_CHECK(input.dim() == 3 && input.size(2) == input_size, module, ": input must have shape [T, B, ", input_size,
              "], got ", input.sizes());
  WindowInput window;
  window.input = input;
  return window;
}

WindowInput table_window(const char* module, const torch::Tensor& table, const torch::Tensor& index,
                         int64_t input_size) {
  TORCH_CHECK(table.dim() == 2 && table.size(1) == input_size, module, ": table must have shape [V, ", input_size,
              "], got ", table.sizes());
  TORCH_CHECK(index.dim() == 2 && index.scalar_type() == torch::kInt64, module, ": index must be int64 [T, B], got ",
              index.scalar_type(), " ", index.sizes());
  TORCH_CHECK(index.device() == table.device(), module, ": index must be on ", table.device(), " as the table is, got ",
              index.device());
  WindowInput window;
  window.input = table;
  window.index = index;
  return window;
}

int64_t window_steps(const WindowInput& window) {
  return (window.index.defined() ? window.index : window.input).size(0);
}
int64_t window_batch(const WindowInput& window) {
  return (window.index.defined() ? window.index : window.input).size(1);
}

void check_window(const char* module, const WindowInput& window, const HMLSTMState& state, const HMLSTMCall& call,
                  const std::vector<int64_t>& sizes, int64_t boundaries, const torch::Tensor& like) {
  const auto& input = window.input;
  const auto steps = window_steps(window), batch = window_batch(window);
  const auto check_device = [&](const char* name, const torch::Tensor& x) {
    TORCH_CHECK(x.device() == like.device(), module, ": ", name, " must be on ", like.device(),
                " as the parameters are, got ", x.device());
  };
  check_device("input", input);
  TORCH_CHECK(input.scalar_type() == like.scalar_type(), module, ": input must be ", like.scalar_type(),
              " as the parameters are, got ", input.scalar_type());
  TORCH_CHECK(steps >= 1 && batch >= 1, module, ": input must have at least one step and one row, got T = ", steps,
              ", B = ", batch);
  const auto check_shape = [&](const char* name, const torch::Tensor& x, torch::IntArrayRef expected) {
    TORCH_CHECK(x.defined() && x.sizes() == expected, module, ": ", name, " must have shape ", expected, ", got ",
                x.defined() ? c10::str(x.sizes()) : "nothing");
    check_device(name, x);
  };
  const auto check_state = [&](const char* name, const torch::Tensor& x, torch::IntArrayRef expected) {
    check_shape(name, x, expected);
    TORCH_CHECK(x.scalar_type() == like.scalar_type(), module, ": ", name, " must be ", like.scalar_type(), ", got ",
                x.scalar_type());
  };
  TORCH_CHECK(state.h.size() == sizes.size() && state.c.size() == sizes.size(), module, ": state must have ",
              sizes.size(), " layers, got ", state.h.size(), " of h and ", state.c.size(), " of c");
  for (size_t l = 0; l < sizes.size(); ++l) {
    check_state("state.h", state.h[l], {batch, sizes[l]});
    check_state("state.c", state.c[l], {batch, sizes[l]});
  }
  check_state("state.z", state.z, {batch, boundaries});
  if (call.lengths.defined()) {
    check_shape("lengths", call.lengths, {batch});
    TORCH_CHECK(call.lengths.scalar_type() == torch::kInt64, module, ": lengths must be int64, got ",
                call.lengths.scalar_type());
  }
  if (boundaries == 0) return;
  if (call.boundaries.defined()) check_shape("boundaries", call.boundaries, {steps, batch, boundaries});
  if (call.noise.defined()) check_shape("noise", call.noise, {steps, batch, boundaries});
}

}  // namespace hmrnn
