#include "hmrnn/run/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

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
  auto text = fmt::format("step {}  epoch {:.2f}  {}  |g| {:.3g}  lr {:.3g}  a {:.4g}  updates", line.step, line.epoch,
                          line.loss, line.gradient_norm, line.learning_rate, line.slope);
  for (const auto rate : line.updates) text += fmt::format(" {:.2f}", rate);
  text += fmt::format("  {} {}/s", rate_text(line.per_second), line.unit);
  if (line.seconds_left >= 0) text += "  left " + time_text(line.seconds_left);
  if (width > 0 && text.size() > static_cast<size_t>(width)) text.resize(width);  // all of it is ASCII
  return text;
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
  std::fprintf(stream_, "%s\n", text.c_str());
  std::fflush(stream_);
}

}  // namespace hmrnn
