#pragma once

#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAStream.h>

#include <functional>
#include <vector>

namespace hmrnn::cuda {

/// Runs work on the current stream and, concurrently, on a second one; in a capture these become branches of the graph.
/// Later work on the current stream waits for both, so that memory may be freed as if there were one stream. One object
/// serves one call of an operator, on one device.
class TwoStreams {
 public:
  /// Each piece launches its work on the stream that is current when it is called; the pieces alternate between the
  /// two.
  void run(const std::vector<std::function<void()>>& work);

 private:
  at::cuda::CUDAEvent fork_, join_;
};

}  // namespace hmrnn::cuda
