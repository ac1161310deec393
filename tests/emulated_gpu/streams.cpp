// Streams, events, captures and graphs of the emulated device. Nothing runs before the host waits for it;
// EMULATED_GPU_ORDER determines what runs then:
//   lazy    (default) only the work that is waited for and its dependencies, so that a missing wait makes other work
//   run too early
//   random  any work that may run, with streams mixed, until what is waited for is done (EMULATED_GPU_SEED)
#include "streams.h"

#include <cstdlib>
#include <exception>

namespace emulated_gpu {

namespace {

bool blocked(const Stream& stream) { return stream.queue.front().wait && !stream.queue.front().wait->done; }

void run_head(Stream& stream) {
  const Item item = std::move(stream.queue.front());
  stream.queue.pop_front();
  if (item.work) {
    const MemoryAccess access;
    try {
      item.work();
    } catch (const std::exception& error) {
      fail("in " + item.what + ": " + error.what());
    }
  }
  if (item.signal) {
    item.signal->time = Clock::now();
    item.signal->done = true;
  }
}

/// Runs the stream up to the marker (null: to its end).
void advance(Stream& stream, const Marker* until) {
  while (!stream.queue.empty() && !(until && until->done)) {
    if (!blocked(stream)) {
      run_head(stream);
      continue;
    }
    const auto* wanted = stream.queue.front().wait.get();
    Stream* holder = nullptr;
    for (auto* other : device().streams) {
      for (const auto& item : other->queue) {
        if (item.signal.get() == wanted) holder = other;
      }
    }
    if (!holder || holder == &stream) fail("a stream waits for an event that will never be reached");
    advance(*holder, wanted);
  }
}

void run_something() {
  std::vector<Stream*> ready;
  for (auto* stream : device().streams) {
    if (!stream->queue.empty() && !blocked(*stream)) ready.push_back(stream);
  }
  if (ready.empty()) fail("all streams wait for each other");
  run_head(*ready[device().draw(ready.size())]);
}

void wait_for(Stream& stream, const Marker* until) {
  if (stream.queue.empty()) return;
  const MemoryAccess access;  // once for all the work
  if (device().random) {
    while (!stream.queue.empty() && !(until && until->done)) run_something();
  } else {
    advance(stream, until);
  }
}

void wait_for(const Marker& marker) {
  while (!marker.done) {
    Stream* holder = nullptr;
    for (auto* stream : device().streams) {
      for (const auto& item : stream->queue) {
        if (item.signal.get() == &marker) holder = stream;
      }
    }
    if (!holder) fail("a wait is for an event that no stream holds");
    wait_for(*holder, &marker);
  }
}

}  // namespace

Device::Device() {
  const char* order = std::getenv("EMULATED_GPU_ORDER");
  const char* seed = std::getenv("EMULATED_GPU_SEED");
  random = order && std::string(order) == "random";
  generator.seed(seed ? static_cast<unsigned>(std::strtoul(seed, nullptr, 10)) : 1u);
}

Device& device() {
  static auto* const one = new Device;  // never destroyed
  return *one;
}

std::recursive_mutex& streams_mutex() {
  static auto* const one = new std::recursive_mutex;
  return *one;
}

Stream& of(cudaStream_t stream) {
  // 0, cudaStreamLegacy and cudaStreamPerThread
  if (reinterpret_cast<uintptr_t>(stream) <= 2) return device().legacy;
  return *reinterpret_cast<Stream*>(stream);
}

cudaError_t enqueue(cudaStream_t stream, const std::string& what, Work work) {
  const Lock lock(streams_mutex());
  auto& s = of(stream);
  if (s.capture) {
    if (s.capture->invalid) return cudaErrorStreamCaptureInvalidated;
    s.capture->graph->nodes.push_back({what, std::move(work), s.last});
    s.last = {s.capture->graph->nodes.size() - 1};
    return cudaSuccess;
  }
  s.queue.push_back({what, std::move(work), nullptr, nullptr});
  return cudaSuccess;
}

cudaError_t finish(cudaStream_t stream) {
  const Lock lock(streams_mutex());
  auto& s = of(stream);
  if (s.capture) return invalidate(*s.capture);
  wait_for(s, nullptr);
  return cudaSuccess;
}

void finish_all() {
  const Lock lock(streams_mutex());
  for (auto* stream : device().streams) wait_for(*stream, nullptr);
}

bool is_capturing(cudaStream_t stream) {
  const Lock lock(streams_mutex());
  return of(stream).capture != nullptr;
}

}  // namespace emulated_gpu

using namespace emulated_gpu;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* out, unsigned, int) {
  const Lock lock(streams_mutex());
  auto* stream = new Stream;
  device().streams.insert(stream);
  *out = reinterpret_cast<cudaStream_t>(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(streams_mutex());
  wait_for(of(stream), nullptr);
  device().streams.erase(&of(stream));
  delete &of(stream);
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(streams_mutex());
  if (!of(stream).capture) {
    if (const auto error = check_unsafe_call()) return remember(error);
  }
  return remember(finish(stream));
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const Lock lock(streams_mutex());
  if (of(stream).capture) return remember(invalidate(*of(stream).capture));
  if (of(stream).queue.empty()) return cudaSuccess;
  run_something();
  return of(stream).queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaDeviceSynchronize() {
  if (const auto error = check_unsafe_call()) return remember(error);
  finish_all();
  return cudaSuccess;
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t call, void* data, unsigned) {
  return remember(enqueue(stream, "callback", [=] { call(stream, cudaSuccess, data); }));
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* out, unsigned) {
  *out = reinterpret_cast<cudaEvent_t>(new Event);
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t* out) { return cudaEventCreateWithFlags(out, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(streams_mutex());
  delete reinterpret_cast<Event*>(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned) {
  const Lock lock(streams_mutex());
  auto& e = of(event);
  auto& s = of(stream);
  e = {};
  if (s.capture) {
    if (s.capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
    e.capture = s.capture;
    e.nodes = s.last;
  } else {
    e.marker = std::make_shared<Marker>();
    s.queue.push_back({"event", {}, nullptr, e.marker});
  }
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cudaEventRecordWithFlags(event, stream, 0);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const Lock lock(streams_mutex());
  const auto& e = of(event);
  auto& s = of(stream);
  if (e.capture) {
    const auto& capture = e.capture;
    if (capture->invalid) return remember(cudaErrorStreamCaptureInvalidated);
    // The capture that recorded the event has ended, or another capture has the stream.
    if (capture->streams.empty() || (s.capture && s.capture != capture)) {
      return remember(cudaErrorStreamCaptureIsolation);
    }
    if (!s.capture) {
      s.capture = capture;
      capture->streams.insert(&s);
    }
    s.last.insert(s.last.end(), e.nodes.begin(), e.nodes.end());
    return cudaSuccess;
  }
  if (s.capture && e.marker) {  // recorded outside the capture, so a graph cannot depend on it
    s.capture->invalid = true;
    return remember(cudaErrorStreamCaptureIsolation);
  }
  if (e.marker) s.queue.push_back({"wait", {}, e.marker, nullptr});
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(streams_mutex());
  if (const auto error = check_unsafe_call()) return remember(error);
  const auto& e = of(event);
  if (e.capture) return remember(cudaErrorCapturedEvent);
  if (!e.marker || e.marker->done) return cudaSuccess;
  run_something();  // the host may poll until it is done
  return e.marker->done ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(streams_mutex());
  if (const auto error = check_unsafe_call()) return remember(error);
  const auto& e = of(event);
  if (e.capture) return remember(cudaErrorCapturedEvent);
  if (e.marker) wait_for(*e.marker);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* out, cudaEvent_t from, cudaEvent_t to) {
  const Lock lock(streams_mutex());
  const auto &a = of(from), &b = of(to);
  if (!a.marker || !b.marker) return remember(cudaErrorInvalidResourceHandle);
  if (!a.marker->done || !b.marker->done) return remember(cudaErrorNotReady);
  *out = std::chrono::duration<float, std::milli>(b.marker->time - a.marker->time).count();
  return cudaSuccess;
}

}  // extern "C"
