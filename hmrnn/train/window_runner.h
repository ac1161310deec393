#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/ops/window_graph.h"

namespace hmrnn {

/// Does one and the same step over window after window, and replays it from a graph where windows repeat their layout:
/// the first of them are launched plainly (they are the warm-up that a capture needs, and real steps), then the step is
/// captured. A window of another layout (the last one of a handwriting batch, a smaller batch) is launched plainly, and
/// the graph is kept for the next window that fits it.
class HMRNN_API WindowRunner {
 public:
  /// Windows of one layout in a row that are launched plainly before the step is captured.
  static constexpr int64_t kWarmUp = 3;
  /// The same for giving up a graph whose layout comes no more.
  static constexpr int64_t kReplace = 100;

  /// `step` must do with a replay as WindowGraph says. `graph`: null to launch every window plainly.
  explicit WindowRunner(std::function<void()> step, std::unique_ptr<WindowGraph> graph = nullptr);

  /// Takes another graph, or none, before the next window.
  void set_graph(std::unique_ptr<WindowGraph> graph);
  /// Lets go of what was captured: the next windows are launched plainly again, and then captured anew.
  void forget();
  /// The graph in use; null: none.
  const WindowGraph* graph() const { return graph_.get(); }

  /// Does the step. Windows of equal `layout` (sizes of tensors and what tells where they are) make it launch the same
  /// kernels over the same memory.
  void run(const std::vector<int64_t>& layout);

  int64_t replayed() const { return replayed_; }  ///< steps that came out of the graph
  int64_t captured() const { return captured_; }  ///< captures

 private:
  std::function<void()> step_;
  std::unique_ptr<WindowGraph> graph_;
  std::vector<int64_t> graph_layout_, last_layout_;
  int64_t in_row_ = 0;  ///< plain launches of last_layout_ in a row
  int64_t replayed_ = 0, captured_ = 0;
};

}  // namespace hmrnn
