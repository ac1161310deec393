#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// State of a training run, for display.
struct ProgressLine {
  int64_t step = 0;             ///< updates so far
  double epoch = 0;             ///< with fraction
  std::string loss;             ///< "1.782 bpc"
  double gradient_norm = 0;     ///< before clipping
  double learning_rate = 0;     ///< current
  double slope = 1;             ///< of the hard sigmoid
  std::vector<double> updates;  ///< per layer, 1 − fraction of COPY
  double per_second = 0;        ///< units per second
  std::string unit;             ///< "characters"
  double seconds_left = -1;     ///< negative: unknown
};

/// "step 120  epoch 0.35  1.782 bpc  |g| 0.52  lr 0.002  a 1.04  updates 1.00 0.45 0.12  12.3k characters/s  left
/// 1:02:03", in at most `width` columns (0: no limit). If it is too long, these are omitted, in this order: updates,
/// slope, learning rate, gradient norm, epoch, time left, speed.
HMRNN_API std::string format_progress(const ProgressLine& line, int width = 0);

/// Displays a run: on a terminal as one line that is overwritten, elsewhere as plain lines.
class HMRNN_API Progress {
 public:
  /// `stream` nullptr: displays nothing.
  explicit Progress(std::FILE* stream = stdout);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Whether `show` is due for a state that is not recorded: on a terminal, twice a second.
  bool wants_refresh() const;
  /// Displays a state. `recorded`: it was also written to the metrics, so it gets a plain line if there is no terminal.
  void show(const ProgressLine& line, bool recorded);
  /// Prints a permanent line, as printable(): it may name a file.
  void message(const std::string& text);

 private:
  void clear();
  std::FILE* stream_;
  bool terminal_ = false;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace hmrnn
