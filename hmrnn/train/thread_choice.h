#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "hmrnn/export.h"
#include "hmrnn/run/progress.h"
#include "hmrnn/train/trainer.h"

namespace hmrnn {

/// Monitors the speed of a run to determine when ThreadChoice chooses again.
class HMRNN_API SpeedWatch {
 public:
  /// Starts to monitor after a choice that took `seconds`.
  void begin(double seconds);
  /// Adds a step that took `seconds` for `targets`. Returns whether to choose again: the speed has been below half of
  /// its maximum for ten seconds, or the choice is old: ten minutes, or 200 times its duration, if that is longer.
  bool step(double seconds, double targets);

 private:
  double span_seconds_ = 0, span_targets_ = 0;  ///< of the current span of time
  double best_ = 0;                             ///< targets per second of the fastest span
  double slow_seconds_ = 0;                     ///< how long the spans have been slow
  double seconds_ = 0, interval_ = 0;           ///< since begin(), and until the choice is old
};

/// The numbers of threads that ThreadChoice tries, up to `most`: 1, 2, 4, … and `most`.
HMRNN_API std::vector<int> thread_candidates(int most);

/// The number of threads to use: the smallest that is at most 5% slower than the fastest. `seconds`: time per window,
/// by number of threads.
HMRNN_API int choose_threads(const std::map<int, double>& seconds);

/// Measures which number of threads is fastest for the windows of this run on this machine, and sets it (`--threads
/// auto`). Before the first step, and whenever SpeedWatch::step returns true, some windows are timed with each number
/// of threads, and the state of the run is restored. A request to stop (Trainer::asked_to_stop) ends this without a
/// choice. The last bits of some sums depend on the number, so the caller stores it with the run, and a resume starts
/// with it.
class HMRNN_API ThreadChoice {
 public:
  /// Without `automatic`, on a GPU and on one CPU this has no effect. `stored`: the number that a resumed run has
  /// stored; 0: none. `store`: called with each number that is chosen.
  ThreadChoice(bool automatic, torch::Device device, int64_t stored, std::function<void(int)> store);

  /// Call this before the first step: chooses, unless a resumed run has stored a number.
  void begin(Trainer& trainer, Progress& progress);
  /// Call this after a step that took `seconds` for `targets`.
  void after_step(Trainer& trainer, Progress& progress, double seconds, double targets);

 private:
  void choose(Trainer& trainer, Progress& progress, bool first);

  int most_ = 1;  ///< LibTorch's number of threads, at most usable_cpus(); 1: there is no choice
  bool chosen_ = false;
  std::function<void(int)> store_;
  SpeedWatch watch_;
};

}  // namespace hmrnn
