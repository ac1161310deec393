#pragma once

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "hmrnn/export.h"

namespace hmrnn {

/// One state of a training run for people.
struct ProgressLine {
  int64_t step = 0;             ///< made
  double epoch = 0;             ///< with its fraction
  std::string loss;             ///< "1.782 bpc"
  double gradient_norm = 0;     ///< before clipping
  double learning_rate = 0;     ///< in force
  double slope = 1;             ///< of the hard sigmoid
  std::vector<double> updates;  ///< per layer, 1 − share of COPY
  double per_second = 0;        ///< units a second
  std::string unit;             ///< "characters"
  double seconds_left = -1;     ///< negative: unknown
};

/// "step 120  epoch 0.35  1.782 bpc  |g| 0.52  lr 0.002  a 1.04  updates 1.00 0.45 0.12  12.3k characters/s  left
/// 1:02:03", in at most `width` columns (0: as many as it takes): where they are few, updates, slope, learning rate,
/// gradient norm, epoch, time left and speed go, in this order.
HMRNN_API std::string format_progress(const ProgressLine& line, int width = 0);

/// Shows a run: on a terminal one line that is written over again and again, elsewhere plain lines.
class HMRNN_API Progress {
 public:
  /// `stream` nullptr: shows nothing.
  explicit Progress(std::FILE* stream = stdout);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// True if `show` would draw now although nothing was recorded: on a terminal, twice a second.
  bool wants_refresh() const;
  /// `recorded`: this state was written to the metrics, so it gets a plain line where there is no terminal.
  void show(const ProgressLine& line, bool recorded);
  /// A line that stays.
  void message(const std::string& text);

 private:
  void clear();
  std::FILE* stream_;
  bool terminal_ = false;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

}  // namespace hmrnn
