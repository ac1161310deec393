#include "hmrnn/ops/window_graph.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <atomic>
#include <exception>

#include "hmrnn/error.h"
#include "hmrnn/ops/cuda_library.h"

namespace hmrnn {

namespace {

std::atomic<WindowGraphFactory> factory_of_graphs{nullptr};

}  // namespace

WindowGraph::~WindowGraph() = default;

void register_window_graphs(WindowGraphFactory factory) { factory_of_graphs = factory; }

std::unique_ptr<WindowGraph> make_window_graph(torch::Device device, std::optional<c10::Stream> stream) {
  TORCH_CHECK(device.is_cuda(), "make_window_graph: ", device, " has no graphs");
  load_cuda_library();
  const WindowGraphFactory factory = factory_of_graphs;
  if (!factory) throw Error("CUDA graphs were requested, but libhmrnn_cuda.so is of another version");
  return factory(device, stream);
}

GraphStream::GraphStream(const WindowGraph* graph)
    : stream_(graph ? graph->stream() : std::nullopt), exceptions_(std::uncaught_exceptions()) {
  if (!stream_) return;
  const c10::impl::VirtualGuardImpl device(stream_->device_type());
  previous_ = device.getStream(stream_->device());
  previous_->synchronize();
  device.exchangeStream(*stream_);
}

GraphStream::~GraphStream() {
  if (!stream_) return;
  try {
    if (std::uncaught_exceptions() == exceptions_) {
      stream_->synchronize();
    } else {
      c10::Event end(stream_->device_type());
      end.record(*stream_);
      end.block(*previous_);
    }
    c10::impl::VirtualGuardImpl(stream_->device_type()).exchangeStream(*previous_);
  } catch (const c10::Error&) {  // the device is lost; its next use reports the error
  }
}

}  // namespace hmrnn
