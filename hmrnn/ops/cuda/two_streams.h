#pragma once

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>

#include <functional>
#include <vector>

namespace hmrnn::cuda {

/// Work on the current stream and, beside it, on a second one; in a capture these become branches of the graph. What
/// follows on the current stream waits for both, so that memory may be freed as if there was one stream. One object
/// serves one call of an operator, on one device.
class TwoStreams {
 public:
  /// Each piece launches its work on the stream that is current when it is called. In turn on the one and the other.
  void run(const std::vector<std::function<void()>>& work);

 private:
  at::cuda::CUDAEvent fork_, join_;
};

}  // namespace hmrnn::cuda
