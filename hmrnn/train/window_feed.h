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
  std::vector<torch::Tensor> tensors;  ///< CPU, contiguous; the same number and dtypes in every window
  int64_t count = 0;                   ///< number of targets
  bool first = false;                  ///< the sequences start here
};

/// Copies windows of training data to a device, into tensors at fixed addresses, so that a graph can read them. On CUDA
/// the next window is copied from pinned memory on a separate stream while the current one is computed (double
/// buffering).
class HMRNN_API WindowFeed {
 public:
  /// Creates window `window` of epoch `epoch`; must return the same one at every call.
  using Source = std::function<HostWindow(int64_t epoch, int64_t window)>;

  /// load and prefetch call `source` on the calling thread; `device` receives the windows.
  WindowFeed(Source source, torch::Device device);
  ~WindowFeed();
  WindowFeed(const WindowFeed&) = delete;
  WindowFeed& operator=(const WindowFeed&) = delete;

  /// Properties of the current window.
  struct Window {
    int64_t count = 0;   ///< number of targets
    bool first = false;  ///< the sequences start here
  };
  /// Makes a window current for all work launched on the current stream from now on.
  Window load(int64_t epoch, int64_t window);
  /// Prefetches the window that will be loaded next. Does not wait for the current work.
  void prefetch(int64_t epoch, int64_t window);

  /// The tensors of the current window, on the device.
  const torch::Tensor& operator[](size_t i) const { return tensors_.at(i); }
  /// Sizes of the current window's tensors, and the number of reallocations so far (a window larger than all before
  /// needs one). Windows of equal layout have their tensors at the same addresses.
  const std::vector<int64_t>& layout() const { return layout_; }

 private:
  struct Slot;
  Slot& begin(int64_t epoch, int64_t window);

  Source source_;
  torch::Device device_;
  std::array<std::unique_ptr<Slot>, 2> slots_;
  size_t next_ = 0;                     ///< the slot to be filled next
  std::vector<torch::Tensor> buffers_;  ///< per tensor: 1-d, with the size of the largest window so far
  std::vector<torch::Tensor> tensors_;  ///< the part of buffers_ that the current window uses, in its shape
  std::vector<int64_t> layout_;
  int64_t moved_ = 0;
};

}  // namespace hmrnn
