#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <utility>
#include <vector>

namespace hmrnn {

namespace saved_tensors {

struct Owner {
  at::Tensor byte;
  std::vector<at::Tensor> tensors;
};
inline void release(void* owner) { delete static_cast<Owner*>(owner); }

}  // namespace saved_tensors

/// What a backend's forward pass saves for its backward pass, as one opaque tensor, uint8 [1] on `device`, that owns
/// `tensors`. The number of states of a window depends on its values, but the shapes of an operator's outputs must not:
/// torch.compile and torch.export derive them from the shapes of the arguments.
inline at::Tensor pack_saved(std::vector<at::Tensor> tensors, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kByte).device(device);
  auto owner = std::make_unique<saved_tensors::Owner>();
  owner->byte = at::empty({1}, options);
  owner->tensors = std::move(tensors);
  void* data = owner->byte.data_ptr();
  return at::for_blob(data, {1}).context(owner.release(), &saved_tensors::release).options(options).make_tensor();
}

/// The tensors that `saved` owns; valid as long as `saved` exists.
/// Errors: c10::Error where `saved` is a copy, which owns nothing (torch.autograd.graph.save_on_cpu makes one).
inline const std::vector<at::Tensor>& unpack_saved(const at::Tensor& saved) {
  const auto& data = saved.storage().data_ptr();
  TORCH_CHECK(data.get_deleter() == &saved_tensors::release,
              "hmrnn: what the forward pass saved for the backward pass was copied, which loses it: hooks of saved "
              "tensors must return the tensor itself");
  return static_cast<const saved_tensors::Owner*>(data.get_context())->tensors;
}

/// The shape and dtype of pack_saved's result, without tensors: for shape inference, and where nothing is saved.
inline at::Tensor nothing_saved(const at::TensorOptions& like) {
  return at::empty({1}, like.dtype(at::kByte).requires_grad(false));
}

}  // namespace hmrnn
