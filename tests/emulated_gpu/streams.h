// Streams, events and captures of the emulated device; internal to its files.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "device.h"

namespace emulated_gpu {

using Clock = std::chrono::steady_clock;

/// Set when all earlier work of a stream is done.
struct Marker {
  bool done = false;
  Clock::time_point time;
};

struct Item {
  std::string what;
  Work work;                       // may be empty
  std::shared_ptr<Marker> wait;    // run only after this
  std::shared_ptr<Marker> signal;  // set afterwards
};

struct Node {
  std::string what;
  Work work;
  std::vector<size_t> after;  // nodes of the same graph
};

struct Graph {
  std::vector<Node> nodes;
};

struct Stream;

struct Capture {
  unsigned long long id;
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  Stream* origin;
  cudaStreamCaptureMode mode;
  const void* thread;
  bool invalid = false;
  std::set<Stream*> streams;
};

struct Stream {
  std::deque<Item> queue;
  std::shared_ptr<Capture> capture;
  std::vector<size_t> last;  // nodes that this stream's next node depends on
};

struct Event {
  std::shared_ptr<Marker> marker;
  std::shared_ptr<Capture> capture;  // the capture that recorded it
  std::vector<size_t> nodes;
};

struct Device {
  Stream legacy;
  std::set<Stream*> streams{&legacy};
  std::vector<std::shared_ptr<Capture>> captures;
  unsigned long long captures_begun = 0;
  bool random;  ///< EMULATED_GPU_ORDER
  std::mt19937 generator;

  Device();
  size_t draw(size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(generator); }
};

Device& device();
Stream& of(cudaStream_t stream);
inline Event& of(cudaEvent_t event) { return *reinterpret_cast<Event*>(event); }

using Lock = std::lock_guard<std::recursive_mutex>;
/// For all streams.
std::recursive_mutex& streams_mutex();

/// Makes the capture invalid; returns the error.
cudaError_t invalidate(Capture& capture);

/// Runs the graph's nodes in an order that their dependencies allow.
void run_graph(const Graph& graph);

}  // namespace emulated_gpu
