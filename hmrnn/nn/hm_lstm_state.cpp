#include "hmrnn/nn/hm_lstm_state.h"

namespace hmrnn {

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
