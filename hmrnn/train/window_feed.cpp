#include "hmrnn/train/window_feed.h"

#include <c10/core/Event.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <optional>

namespace hmrnn {

namespace {

/// Sets `part` to a view of `room` with the shape of `like`; returns true if `room` was too small and was reallocated.
bool fit(torch::Tensor& room, const torch::Tensor& like, const torch::TensorOptions& options, torch::Tensor& part) {
  const bool grow = !room.defined() || room.numel() < like.numel();
  if (grow) room = torch::empty({like.numel()}, options.dtype(like.scalar_type()));
  part = room.narrow(0, 0, like.numel()).view(like.sizes());
  return grow;
}

}  // namespace

/// A window that is being copied. On CUDA, event `copied` marks the end of the copy from `pinned` to `staged`, and
/// `taken` the end of the copy from `staged`.
struct WindowFeed::Slot {
  std::pair<int64_t, int64_t> key{-1, -1};  ///< epoch and window; -1: empty
  Window window;
  std::vector<torch::Tensor> pinned_room, pinned, staged_room, staged;
  std::optional<c10::Stream> stream;
  std::optional<c10::Event> copied, taken;
};

WindowFeed::WindowFeed(Source source, torch::Device device) : source_(std::move(source)), device_(device) {
  for (auto& slot : slots_) slot = std::make_unique<Slot>();
  if (!device_.is_cuda()) return;
  const c10::impl::VirtualGuardImpl guard(device_.type());
  if (!device_.has_index()) device_ = guard.getDevice();
  const auto stream = guard.getStreamFromGlobalPool(device_);
  for (auto& slot : slots_) {
    slot->stream = stream;
    slot->copied.emplace(device_.type());
    slot->taken.emplace(device_.type());
  }
}

WindowFeed::~WindowFeed() = default;

WindowFeed::Slot& WindowFeed::begin(int64_t epoch, int64_t window) {
  auto& slot = *slots_[next_];
  next_ = 1 - next_;
  auto host = source_(epoch, window);
  slot.key = {epoch, window};
  slot.window = {host.count, host.first};
  if (!slot.stream) {
    slot.staged = std::move(host.tensors);
    return slot;
  }

  const auto n = host.tensors.size();
  for (auto* list : {&slot.pinned_room, &slot.pinned, &slot.staged_room, &slot.staged}) list->resize(n);
  // Wait until the last copy from this slot's pinned memory is done: the host may be two windows ahead.
  slot.copied->synchronize();
  const c10::StreamGuard guard(*slot.stream);
  slot.taken->block(*slot.stream);
  for (size_t i = 0; i < n; ++i) {
    const auto& from = host.tensors[i];
    fit(slot.pinned_room[i], from, torch::TensorOptions(torch::kCPU).pinned_memory(true), slot.pinned[i]);
    // Memory that is reallocated here belongs to this stream in the caching allocator, and this stream now waits for
    // its last reader.
    fit(slot.staged_room[i], from, torch::TensorOptions(device_), slot.staged[i]);
    slot.pinned[i].copy_(from);
    slot.staged[i].copy_(slot.pinned[i], /*non_blocking=*/true);
  }
  slot.copied->record(*slot.stream);
  return slot;
}

void WindowFeed::prefetch(int64_t epoch, int64_t window) {
  for (const auto& slot : slots_) {
    if (slot->key == std::pair(epoch, window)) return;
  }
  begin(epoch, window);
}

WindowFeed::Window WindowFeed::load(int64_t epoch, int64_t window) {
  Slot* slot = nullptr;
  for (const auto& candidate : slots_) {
    if (candidate->key == std::pair(epoch, window)) slot = candidate.get();
  }
  if (!slot) slot = &begin(epoch, window);
  slot->key = {-1, -1};

  const torch::NoGradGuard no_grad;
  const auto n = slot->staged.size();
  buffers_.resize(n);
  tensors_.resize(n);
  std::optional<c10::Stream> current;
  if (slot->stream) {
    current = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
    slot->copied->block(*current);
  }
  bool moved = false;
  layout_.clear();
  for (size_t i = 0; i < n; ++i) {
    moved |= fit(buffers_[i], slot->staged[i], torch::TensorOptions(device_), tensors_[i]);
    tensors_[i].copy_(slot->staged[i], /*non_blocking=*/true);
    layout_.push_back(tensors_[i].dim());
    layout_.insert(layout_.end(), tensors_[i].sizes().begin(), tensors_[i].sizes().end());
  }
  if (moved) ++moved_;
  layout_.push_back(moved_);
  if (current) slot->taken->record(*current);
  return slot->window;
}

}  // namespace hmrnn
