#include "hmrnn/train/carried_state.h"

#include "hmrnn/error.h"

namespace hmrnn {

void CarriedState::settle(const torch::Tensor& skipped) {
  current_ = std::move(pending_);
  pending_ = {};
  const bool on_cpu = skipped.device().is_cpu();
  if (on_cpu && skipped.item<float>() == 0) return;  // on a GPU, asking would wait for it
  const auto mask = skipped.ne(0);
  for (auto* tensors : {&current_.h, &current_.c}) {
    for (auto& tensor : *tensors) tensor = tensor.masked_fill(mask, 0);
  }
  current_.z = current_.z.masked_fill(mask, 0);
}

void CarriedState::save(SafeTensors& file) const {
  for (size_t l = 0; l < current_.h.size(); ++l) {
    file.tensors.emplace_back("state.h." + std::to_string(l), current_.h[l].cpu().contiguous());
    file.tensors.emplace_back("state.c." + std::to_string(l), current_.c[l].cpu().contiguous());
  }
  file.tensors.emplace_back("state.z", current_.z.cpu().contiguous());
}

void CarriedState::load(const SafeTensors& file, const std::string& where, const HMLSTMState& like, bool any_batch) {
  auto state = like;
  int64_t rows = any_batch ? -1 : like.batch();
  const auto read = [&](const std::string& name, torch::Tensor& to) {
    const auto tensor = file.find(name);
    if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
    if (rows < 0 && tensor.dim() == 2 && tensor.size(0) >= 1) rows = tensor.size(0);  // the first one tells
    auto expected = to.sizes().vec();
    if (rows >= 0) expected[0] = rows;
    if (tensor.sizes() != expected || tensor.scalar_type() != to.scalar_type()) {
      throw Error(where + ": tensor " + name + " has shape " + c10::str(tensor.sizes()) + ", expected float32 " +
                  c10::str(torch::IntArrayRef(expected)));
    }
    to = tensor.to(to.device(), to.scalar_type(), /*non_blocking=*/false, /*copy=*/true);
  };
  for (size_t l = 0; l < state.h.size(); ++l) {
    read("state.h." + std::to_string(l), state.h[l]);
    read("state.c." + std::to_string(l), state.c[l]);
  }
  read("state.z", state.z);
  current_ = std::move(state);
}

}  // namespace hmrnn
