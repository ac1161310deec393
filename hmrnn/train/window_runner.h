#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/ops/window_graph.h"

namespace hmrnn {

/// Runs the same step for each window, and replays it from a CUDA graph when layouts repeat: the first windows of a
/// layout are launched without a graph (real steps that also serve as the warm-up that a capture needs), then the step
/// is captured. A window of another layout (the last one of a handwriting batch, a smaller batch) is launched without a
/// graph; the graph is kept for the next window of its layout.
class HMRNN_API WindowRunner {
 public:
  /// Consecutive windows of one layout before the step is captured.
  static constexpr int64_t kWarmUp = 3;
  /// Consecutive windows of another layout before a new capture replaces the graph.
  static constexpr int64_t kReplace = 100;

  /// `step` must be replayable as WindowGraph requires. `graph`: null to launch every window without a graph.
  explicit WindowRunner(std::function<void()> step, std::unique_ptr<WindowGraph> graph = nullptr);

  /// Sets another graph, or none, for the next windows.
  void set_graph(std::unique_ptr<WindowGraph> graph);
  /// `work` is called before every capture, which waits for the device.
  void set_before_capture(std::function<void()> work) { before_capture_ = std::move(work); }
  /// Discards the captured graph: the next windows are launched without one, until a new capture.
  void forget();
  /// The graph in use; null: none.
  const WindowGraph* graph() const { return graph_.get(); }

  /// Runs the step. For windows of equal `layout` (sizes and addresses of their tensors) it must launch the same
  /// kernels on the same memory.
  void run(const std::vector<int64_t>& layout);

  int64_t replayed() const { return replayed_; }  ///< number of replays
  int64_t captured() const { return captured_; }  ///< number of captures

 private:
  std::function<void()> step_, before_capture_;
  std::unique_ptr<WindowGraph> graph_;
  std::vector<int64_t> graph_layout_, last_layout_;
  int64_t in_row_ = 0;  ///< consecutive launches of last_layout_ without a graph
  int64_t replayed_ = 0, captured_ = 0;
};

}  // namespace hmrnn
