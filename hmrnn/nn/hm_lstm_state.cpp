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

}  // namespace hmrnn
