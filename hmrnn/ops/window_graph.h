#pragma once

#include <c10/core/Stream.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

/// A piece of work on a device, recorded once and launched again as a whole. A recording holds kernels, the memory they
/// read and write, and the numbers they were given: what changes from one replay to the next has to be in tensors
/// whose memory stays where it is. Random numbers continue from the state of the device's default generator, and leave
/// it where the work itself would have left it.
class HMRNN_API WindowGraph {
 public:
  virtual ~WindowGraph();
  /// The stream that it records and replays on; nullopt where the device has none.
  virtual std::optional<c10::Stream> stream() const = 0;
  /// Does the work once and records it, in place of an earlier recording. The work must have been done several times on
  /// `stream()` before (libraries set themselves up at first), and must not read a value of the device on the host.
  virtual void capture(const std::function<void()>& work) = 0;
  /// Does the recorded work.
  virtual void replay() = 0;
};

/// A CUDA graph on a stream of its own. Opens libhmrnn_cuda; throws hmrnn::Error if that cannot be opened.
HMRNN_API std::unique_ptr<WindowGraph> make_window_graph(torch::Device device);

/// How libhmrnn_cuda, where LibTorch's CUDA graphs are, tells this library about them when it is opened.
using WindowGraphFactory = std::unique_ptr<WindowGraph> (*)(torch::Device);
HMRNN_API void register_window_graphs(WindowGraphFactory factory);

/// While it lives, what is launched on the device goes to the stream of `graph` (if there is one). Beginning and end
/// wait for what was launched before.
class HMRNN_API GraphStream {
 public:
  /// `graph` null, or without a stream: no effect.
  explicit GraphStream(const WindowGraph* graph);
  ~GraphStream();
  GraphStream(const GraphStream&) = delete;
  GraphStream& operator=(const GraphStream&) = delete;

 private:
  std::optional<c10::Stream> stream_, previous_;
};

}  // namespace hmrnn
