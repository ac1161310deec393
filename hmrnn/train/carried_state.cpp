#include "hmrnn/train/carried_state.h"

#include "hmrnn/error.h"

namespace hmrnn {

namespace {

std::vector<torch::Tensor> tensors_of(const HMLSTMState& state) {
  auto out = state.h;
  out.insert(out.end(), state.c.begin(), state.c.end());
  out.push_back(state.z);
  return out;
}

HMLSTMState first_rows(const HMLSTMState& state, int64_t rows) {
  HMLSTMState out;
  for (const auto& x : state.h) out.h.push_back(x.narrow(0, 0, rows));
  for (const auto& x : state.c) out.c.push_back(x.narrow(0, 0, rows));
  out.z = state.z.narrow(0, 0, rows);
  return out;
}

}  // namespace

void CarriedState::reserve(HMLSTMState zeros) {
  reserved_ = zeros.detach();
  start(reserved_.batch());
}

void CarriedState::start(int64_t rows) {
  TORCH_CHECK(reserved_.defined() && rows >= 0 && rows <= reserved_.batch(), "CarriedState: there is no room for ",
              rows, " sequences");
  const torch::NoGradGuard no_grad;
  current_ = first_rows(reserved_, rows);
  for (auto& x : tensors_of(current_)) x.zero_();
}

void CarriedState::settle(const torch::Tensor& not_finite) {
  const torch::NoGradGuard no_grad;
  const auto mask = not_finite.ne(0);
  const auto from = tensors_of(pending_), to = tensors_of(current_);
  for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i].masked_fill(mask, 0));
  pending_ = {};
}

void CarriedState::save(SafeTensors& file) const {
  // Copies, since the next window overwrites the memory.
  const auto copy = [](const torch::Tensor& x) { return x.to(torch::kCPU, x.scalar_type(), false, /*copy=*/true); };
  for (size_t l = 0; l < current_.h.size(); ++l) {
    file.tensors.emplace_back("state.h." + std::to_string(l), copy(current_.h[l]));
    file.tensors.emplace_back("state.c." + std::to_string(l), copy(current_.c[l]));
  }
  file.tensors.emplace_back("state.z", copy(current_.z));
}

void CarriedState::load(const SafeTensors& file, const std::string& where, bool any_batch) {
  std::vector<std::pair<torch::Tensor, torch::Tensor>> read;  // file's tensor and its target; copied only if all fit
  int64_t rows = any_batch ? -1 : reserved_.batch();
  const auto find = [&](const std::string& name, const torch::Tensor& room) {
    const auto tensor = file.find(name);
    if (!tensor.defined()) throw Error(where + ": tensor " + name + " is missing");
    if (rows < 0 && tensor.dim() == 2 && tensor.size(0) <= room.size(0)) {
      rows = tensor.size(0);  // the first tensor determines the number of rows
    }
    auto expected = room.sizes().vec();
    if (rows >= 0) expected[0] = rows;
    if (tensor.sizes() != expected || tensor.scalar_type() != room.scalar_type()) {
      throw Error(where + ": tensor " + name + " has shape " + c10::str(tensor.sizes()) + ", expected float32 " +
                  c10::str(torch::IntArrayRef(expected)));
    }
    read.emplace_back(tensor, room);
  };
  for (size_t l = 0; l < reserved_.h.size(); ++l) {
    find("state.h." + std::to_string(l), reserved_.h[l]);
    find("state.c." + std::to_string(l), reserved_.c[l]);
  }
  find("state.z", reserved_.z);
  const torch::NoGradGuard no_grad;
  start(rows);
  for (const auto& [from, room] : read) room.narrow(0, 0, rows).copy_(from);
}

}  // namespace hmrnn
