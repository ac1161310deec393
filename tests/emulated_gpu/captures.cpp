// Captures and graphs of the emulated device. A graph's nodes run in an order that their dependencies allow, but not in
// the order of recording: the latest first, or at random (EMULATED_GPU_ORDER, streams.cpp).
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <utility>

#include "streams.h"

namespace emulated_gpu {

namespace {

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
thread_local const char thread_address = 0;

/// Adds `node` and all nodes that it depends on.
void add_ancestors(const Graph& graph, size_t node, std::set<size_t>& out) {
  std::vector<size_t> open{node};
  while (!open.empty()) {
    const auto next = open.back();
    open.pop_back();
    if (!out.insert(next).second) continue;
    for (const auto before : graph.nodes[next].after) open.push_back(before);
  }
}

void end(Capture& capture) {
  for (auto* stream : capture.streams) {
    stream->capture.reset();
    stream->last.clear();
  }
  auto& all = device().captures;
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].get() == &capture) {
      all.erase(all.begin() + static_cast<ptrdiff_t>(i));
      return;
    }
  }
}

/// Prints the number of nodes of each kind, and the length of the longest path.
void print_counts(const Graph& graph) {
  std::map<std::string, size_t> counts;
  std::vector<size_t> length;
  size_t longest = 0;
  for (const auto& node : graph.nodes) {
    ++counts[node.what];
    size_t before = 0;
    for (const auto i : node.after) before = std::max(before, length[i]);
    length.push_back(before + 1);
    longest = std::max(longest, before + 1);
  }
  std::fprintf(stderr, "emulated GPU: a graph of %zu nodes, %zu one after the other\n", graph.nodes.size(), longest);
  for (const auto& [what, count] : counts) std::fprintf(stderr, "%6zu %s\n", count, what.c_str());
}

}  // namespace

cudaError_t invalidate(Capture& capture) {
  capture.invalid = true;
  return cudaErrorStreamCaptureUnsupported;
}

void run_graph(const Graph& graph) {
  std::vector<size_t> waits(graph.nodes.size());
  std::vector<std::vector<size_t>> followers(graph.nodes.size());
  std::vector<size_t> ready;
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    waits[i] = graph.nodes[i].after.size();
    for (const auto before : graph.nodes[i].after) followers[before].push_back(i);
    if (waits[i] == 0) ready.push_back(i);
  }
  while (!ready.empty()) {
    if (device().random) std::swap(ready[device().draw(ready.size())], ready.back());
    const auto i = ready.back();
    ready.pop_back();
    if (graph.nodes[i].work) graph.nodes[i].work();
    for (const auto next : followers[i]) {
      if (--waits[next] == 0) ready.push_back(next);
    }
  }
}

cudaError_t check_unsafe_call() {
  const Lock lock(streams_mutex());
  if (thread_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  for (const auto& capture : device().captures) {
    const bool mine = capture->thread == &thread_address;
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    if (mine || (thread_mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal)) {
      return invalidate(*capture);
    }
  }
  return cudaSuccess;
}

}  // namespace emulated_gpu

using namespace emulated_gpu;

extern "C" {

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  std::swap(*mode, thread_mode);
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(streams_mutex());
  auto& s = of(stream);
  if (&s == &device().legacy) return remember(cudaErrorStreamCaptureUnsupported);
  if (s.capture) return remember(cudaErrorIllegalState);
  s.capture = std::make_shared<Capture>();
  s.capture->id = ++device().captures_begun;
  s.capture->origin = &s;
  s.capture->mode = mode;
  s.capture->thread = &thread_address;
  s.capture->streams = {&s};
  device().captures.push_back(s.capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* out) {
  const Lock lock(streams_mutex());
  *out = nullptr;
  auto& s = of(stream);
  const auto capture = s.capture;
  if (!capture || capture->origin != &s) return remember(cudaErrorIllegalState);
  if (capture->thread != &thread_address) return remember(cudaErrorStreamCaptureWrongThread);
  std::set<size_t> joined;
  for (const auto node : s.last) add_ancestors(*capture->graph, node, joined);
  bool unjoined = false;
  for (auto* other : capture->streams) {
    for (const auto node : other->last) unjoined |= joined.count(node) == 0;
  }
  end(*capture);
  capture->streams.clear();
  if (capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
  if (unjoined) return remember(cudaErrorStreamCaptureUnjoined);
  if (std::getenv("EMULATED_GPU_COUNTS")) print_counts(*capture->graph);
  *out = reinterpret_cast<cudaGraph_t>(new std::shared_ptr<Graph>(capture->graph));
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Lock lock(streams_mutex());
  const auto& capture = of(stream).capture;
  *status = !capture           ? cudaStreamCaptureStatusNone
            : capture->invalid ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id,
                                     cudaGraph_t* graph, const cudaGraphNode_t**, const cudaGraphEdgeData**, size_t*) {
  const Lock lock(streams_mutex());
  cudaStreamIsCapturing(stream, status);
  if (id && of(stream).capture) *id = of(stream).capture->id;
  if (graph) *graph = nullptr;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  const auto& g = *reinterpret_cast<std::shared_ptr<Graph>*>(graph);
  if (nodes) fail("cudaGraphGetNodes of more than their number");
  *count = g->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* out, cudaGraph_t graph, unsigned long long) {
  *out =
      reinterpret_cast<cudaGraphExec_t>(new std::shared_ptr<Graph>(*reinterpret_cast<std::shared_ptr<Graph>*>(graph)));
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<std::shared_ptr<Graph>*>(graph);
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  delete reinterpret_cast<std::shared_ptr<Graph>*>(graph);  // launches share the graph
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  const auto g = *reinterpret_cast<std::shared_ptr<Graph>*>(graph);
  if (is_capturing(stream)) return remember(cudaErrorStreamCaptureUnsupported);
  return remember(enqueue(stream, "graph", [g] { run_graph(*g); }));
}

}  // extern "C"
