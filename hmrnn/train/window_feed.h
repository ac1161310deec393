#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// A window of training data on the host.
struct HostWindow {
  std::vector<torch::Tensor> tensors;  ///< CPU, contiguous; from window to window the same number and dtypes
  int64_t count = 0;                   ///< targets
  bool first = false;                  ///< its sequences start here
};

/// Brings windows of training data to a device, into tensors whose memory stays where it is, so that a graph may read
/// them. On CUDA the next window is copied from pinned memory on a stream of its own while the present one is computed;
/// two windows' room of pinned and of device memory is enough for that.
class HMRNN_API WindowFeed {
 public:
  /// Makes window `window` of epoch `epoch`; the same one at every call.
  using Source = std::function<HostWindow(int64_t epoch, int64_t window)>;

  /// `source` is called by load and prefetch, on the calling thread; `device` is where the windows go.
  WindowFeed(Source source, torch::Device device);
  ~WindowFeed();
  WindowFeed(const WindowFeed&) = delete;
  WindowFeed& operator=(const WindowFeed&) = delete;

  /// What there is to know of the window in place.
  struct Window {
    int64_t count = 0;   ///< targets
    bool first = false;  ///< its sequences start here
  };
  /// Puts a window in place, for what is launched on the current stream from now on.
  Window load(int64_t epoch, int64_t window);
  /// Prefetches the window that will be loaded next. Does not wait for the current work.
  void prefetch(int64_t epoch, int64_t window);

  /// The tensors of the window in place, on the device.
  const torch::Tensor& operator[](size_t i) const { return tensors_.at(i); }
  /// Their sizes, and how often their memory had to be moved because a window was larger than all before: while two
  /// windows have the same, their tensors are in the same place.
  const std::vector<int64_t>& layout() const { return layout_; }

 private:
  struct Slot;
  Slot& begin(int64_t epoch, int64_t window);

  Source source_;
  torch::Device device_;
  std::array<std::unique_ptr<Slot>, 2> slots_;
  size_t next_ = 0;                     ///< the slot to be filled next
  std::vector<torch::Tensor> room_;     ///< per tensor: 1-d, as large as the largest so far
  std::vector<torch::Tensor> tensors_;  ///< the window's part of it, in its shape
  std::vector<int64_t> layout_;
  int64_t moved_ = 0;
};

}  // namespace hmrnn
