#pragma once

#include <c10/core/Stream.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>

#include "hmrnn/export.h"

namespace hmrnn {

/// A piece of work on a device, recorded once and launched again as a whole. A recording contains kernels, the
/// addresses that they read and write, and their scalar arguments: what changes between replays must be in tensors at
/// fixed addresses. Random numbers continue from the state of the device's default generator, and advance it as the
/// work itself would.
class HMRNN_API WindowGraph {
 public:
  virtual ~WindowGraph();
  /// The stream that it records and replays on; nullopt where the device has none.
  virtual std::optional<c10::Stream> stream() const = 0;
  /// Runs the work once and records it, in place of an earlier recording. The work must have run several times on
  /// `stream()` before (libraries initialise themselves at first use), and must not read a value of the device on the
  /// host.
  virtual void capture(const std::function<void()>& work) = 0;
  /// Launches the recorded work.
  virtual void replay() = 0;
};

/// A CUDA graph on `stream`, by default a stream of its own. Opens libhmrnn_cuda; throws hmrnn::Error if that cannot be
/// opened.
HMRNN_API std::unique_ptr<WindowGraph> make_window_graph(torch::Device device,
                                                         std::optional<c10::Stream> stream = std::nullopt);

/// Function that libhmrnn_cuda, which contains the CUDA graphs, registers with register_window_graphs when it is
/// opened.
using WindowGraphFactory = std::unique_ptr<WindowGraph> (*)(torch::Device, std::optional<c10::Stream>);
HMRNN_API void register_window_graphs(WindowGraphFactory factory);

/// During its lifetime, work for the device is launched on the stream of `graph` (if there is one). Constructor and
/// destructor wait for the work launched before. While an exception is thrown, which may report that this work never
/// ends, the destructor only makes later work of the device's previous stream wait for it.
class HMRNN_API GraphStream {
 public:
  /// `graph` null, or without a stream: no effect.
  explicit GraphStream(const WindowGraph* graph);
  ~GraphStream();
  GraphStream(const GraphStream&) = delete;
  GraphStream& operator=(const GraphStream&) = delete;

 private:
  std::optional<c10::Stream> stream_, previous_;
  int exceptions_;  ///< being thrown when it was constructed
};

}  // namespace hmrnn
