// CUDA graphs (ops/window_graph.h).
#include "hmrnn/ops/window_graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>

namespace hmrnn {

namespace {

class CudaWindowGraph : public WindowGraph {
 public:
  CudaWindowGraph(torch::Device device, std::optional<c10::Stream> stream)
      : stream_(stream
                    ? c10::cuda::CUDAStream(*stream)
                    : c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.has_index() ? device.index() : 0)) {
  }

  std::optional<c10::Stream> stream() const override { return stream_.unwrap(); }

  void capture(const std::function<void()>& work) override {
    const c10::cuda::CUDAStreamGuard guard(stream_);
    graph_.reset();  // its memory is freed before more is allocated
    stream_.synchronize();
    // The recording has its own memory pool: memory cached for earlier launches would be reserved twice.
    c10::cuda::CUDACachingAllocator::emptyCache();
    auto graph = std::make_unique<at::cuda::CUDAGraph>();
    graph->capture_begin();
    try {
      work();
    } catch (...) {
      const auto error = std::current_exception();
      try {
        graph->capture_end();            // an unfinished capture would make the stream unusable
      } catch (const std::exception&) {  // ended in any case; the first error is the informative one
      }
      std::rethrow_exception(error);
    }
    graph->capture_end();
    graph_ = std::move(graph);
    replay();  // capturing launches nothing
  }

  void replay() override {
    TORCH_CHECK(graph_, "WindowGraph: nothing was captured");
    const c10::cuda::CUDAStreamGuard guard(stream_);
    graph_->replay();
  }

 private:
  c10::cuda::CUDAStream stream_;
  std::unique_ptr<at::cuda::CUDAGraph> graph_;
};

[[maybe_unused]] const bool graph_registered = [] {
  register_window_graphs([](torch::Device device, std::optional<c10::Stream> stream) -> std::unique_ptr<WindowGraph> {
    return std::make_unique<CudaWindowGraph>(device, stream);
  });
  return true;
}();

}  // namespace

}  // namespace hmrnn
