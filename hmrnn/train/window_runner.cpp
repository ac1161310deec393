#include "hmrnn/train/window_runner.h"

namespace hmrnn {

WindowRunner::WindowRunner(std::function<void()> step, std::unique_ptr<WindowGraph> graph) : step_(std::move(step)) {
  set_graph(std::move(graph));
}

void WindowRunner::set_graph(std::unique_ptr<WindowGraph> graph) {
  graph_ = std::move(graph);
  forget();
}

void WindowRunner::forget() {
  graph_layout_.clear();
  last_layout_.clear();
  in_row_ = 0;
}

void WindowRunner::run(const std::vector<int64_t>& layout) {
  if (graph_ && !layout.empty() && layout == graph_layout_) {
    graph_->replay();
    in_row_ = 0;
    ++replayed_;
    return;
  }
  if (layout != last_layout_) in_row_ = 0;
  last_layout_ = layout;
  if (graph_ && !layout.empty() && in_row_ >= (graph_layout_.empty() ? kWarmUp : kReplace)) {
    graph_layout_.clear();  // no graph remains if the capture throws
    if (before_capture_) before_capture_();
    graph_->capture(step_);
    graph_layout_ = layout;
    in_row_ = 0;
    ++captured_;
    return;
  }
  step_();
  ++in_row_;
}

}  // namespace hmrnn
