#include "hmrnn/run/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "hmrnn/run/printable.h"

namespace hmrnn {

namespace {

constexpr auto kRefresh = std::chrono::milliseconds(500);

std::string rate_text(double rate) {
  if (rate >= 1e6) return fmt::format("{:.2f}M", rate / 1e6);
  if (rate >= 1e4) return fmt::format("{:.1f}k", rate / 1e3);
  return fmt::format("{:.0f}", rate);
}

std::string time_text(double seconds) {
  const auto s = static_cast<int64_t>(std::llround(std::min(seconds, 1e9)));
  if (s >= 86400) return fmt::format("{}d {:02}h", s / 86400, s % 86400 / 3600);
  return fmt::format("{}:{:02}:{:02}", s / 3600, s % 3600 / 60, s % 60);
}

int terminal_width(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

std::string format_progress(const ProgressLine& line, int width) {
  struct Part {
    std::string text;
    int rank;  ///< parts are omitted from the highest rank down; 0: never
  };
  std::string updates = "updates";
  for (const auto rate : line.updates) updates += fmt::format(" {:.2f}", rate);
  std::vector<Part> parts = {{fmt::format("step {}", line.step), 0},
                             {fmt::format("epoch {:.2f}", line.epoch), 3},
                             {line.loss, 0},
                             {fmt::format("|g| {:.3g}", line.gradient_norm), 4},
                             {fmt::format("lr {:.3g}", line.learning_rate), 5},
                             {fmt::format("a {:.4g}", line.slope), 6},
                             {updates, 7},
                             {rate_text(line.per_second) + " " + line.unit + "/s", 1}};
  if (line.seconds_left >= 0) parts.push_back({"left " + time_text(line.seconds_left), 2});
  for (;;) {
    std::string text;
    for (const auto& part : parts) text += (text.empty() ? "" : "  ") + part.text;
    if (width <= 0 || text.size() <= static_cast<size_t>(width)) return text;
    const auto least =
        std::max_element(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return a.rank < b.rank; });
    if (least->rank == 0) return text.substr(0, static_cast<size_t>(width));  // all characters are ASCII
    parts.erase(least);
  }
}

Progress::Progress(std::FILE* stream) : stream_(stream), terminal_(stream && isatty(fileno(stream)) == 1) {}

Progress::~Progress() {
  if (drawn_) std::fputc('\n', stream_);
}

bool Progress::wants_refresh() const { return terminal_ && std::chrono::steady_clock::now() - last_ >= kRefresh; }

void Progress::clear() {
  if (drawn_) std::fputs("\r\x1b[K", stream_);
  drawn_ = false;
}

void Progress::show(const ProgressLine& line, bool recorded) {
  if (!stream_) return;
  if (terminal_) {
    last_ = std::chrono::steady_clock::now();
    // One column stays free: a full line would wrap on some terminals.
    std::fprintf(stream_, "\r%s\x1b[K", format_progress(line, terminal_width(stream_) - 1).c_str());
    drawn_ = true;
  } else if (recorded) {
    std::fprintf(stream_, "%s\n", format_progress(line).c_str());
  }
  std::fflush(stream_);
}

void Progress::message(const std::string& text) {
  if (!stream_) return;
  clear();
  std::fprintf(stream_, "%s\n", printable(text).c_str());
  std::fflush(stream_);
}

}  // namespace hmrnn
