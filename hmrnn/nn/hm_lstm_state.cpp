#include "hmrnn/nn/hm_lstm_state.h"

namespace hmrnn {

HMLSTMState HMLSTMState::zeros(int64_t batch, const std::vector<int64_t>& sizes, int64_t boundaries,
                               const torch::TensorOptions& options) {
  HMLSTMState out;
  for (const auto d : sizes) {
    out.h.push_back(torch::zeros({batch, d}, options));
    out.c.push_back(torch::zeros({batch, d}, options));
  }
  out.z = torch::zeros({batch, boundaries}, options);
  return out;
}

HMLSTMState HMLSTMState::detach() const {
  HMLSTMState out;
  for (const auto& x : h) out.h.push_back(x.detach());
  for (const auto& x : c) out.c.push_back(x.detach());
  out.z = z.detach();
  return out;
}

HMLSTMState HMLSTMState::to(torch::Device device) const {
  HMLSTMState out;
  for (const auto& x : h) out.h.push_back(x.to(device));
  for (const auto& x : c) out.c.push_back(x.to(device));
  out.z = z.to(device);
  return out;
}

HMLSTMState HMLSTMState::join(const std::vector<HMLSTMState>& states) {
  TORCH_CHECK(!states.empty(), "HMLSTMState::join: there are no states");
  const auto layers = states[0].h.size();
  for (const auto& state : states) {
    TORCH_CHECK(state.defined() && state.h.size() == layers && state.c.size() == layers,
                "HMLSTMState::join: all states must have ", layers, " layers, got ", state.h.size());
  }
  const auto cat = [&](auto get) {
    std::vector<torch::Tensor> all;
    for (const auto& state : states) all.push_back(get(state));
    return torch::cat(all);
  };
  HMLSTMState out;
  for (size_t l = 0; l < layers; ++l) {
    out.h.push_back(cat([l](const HMLSTMState& state) { return state.h[l]; }));
    out.c.push_back(cat([l](const HMLSTMState& state) { return state.c[l]; }));
  }
  out.z = cat([](const HMLSTMState& state) { return state.z; });
  return out;
}

HMLSTMState HMLSTMState::select_rows(const std::vector<int64_t>& rows) const {
  for (const auto row : rows) {
    TORCH_CHECK(row >= 0 && row < batch(), "HMLSTMState: row must be in [0, ", batch(), "), got ", row);
  }
  const auto index = torch::tensor(rows, torch::kInt64).to(z.device());
  HMLSTMState out;
  for (const auto& x : h) out.h.push_back(x.index_select(0, index));
  for (const auto& x : c) out.c.push_back(x.index_select(0, index));
  out.z = z.index_select(0, index);
  return out;
}

}  // namespace hmrnn
