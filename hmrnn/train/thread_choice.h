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

/// When ThreadChoice chooses again: a watch over the speed of a run.
class HMRNN_API SpeedWatch {
 public:
  /// A number was chosen, which took this long (seconds).
  void begin(double seconds);
  /// After a step that took `seconds` for `targets`. Whether to choose again: the speed has been below half of what it
  /// was for ten seconds, or the choice is old: ten minutes, or 200 times as long as it took, if that is more.
  bool step(double seconds, double targets);

 private:
  double span_seconds_ = 0, span_targets_ = 0;  ///< of the current span of time
  double best_ = 0;                             ///< targets per second of the fastest span
  double slow_seconds_ = 0;                     ///< how long the spans have been slow
  double seconds_ = 0, interval_ = 0;           ///< since begin(), and until the choice is old
};

/// The numbers of threads that ThreadChoice tries on `most` CPUs: 1, 2, 4, … and all.
HMRNN_API std::vector<int> thread_candidates(int most);

/// The one to take: the smallest that is at most a twentieth slower than the fastest. `seconds`: of a window, by
/// number.
HMRNN_API int choose_threads(const std::map<int, double>& seconds);

/// Trains with the number of threads with which windows of this run take the least time here and now (`--threads
/// auto`). Before the first step and whenever SpeedWatch asks for it, some windows are timed with each number, and the
/// state of the run is put back. The last bits of some sums depend on the number, so it is to be stored with the run,
/// and a resume begins with it.
class HMRNN_API ThreadChoice {
 public:
  /// Without `automatic`, on a GPU and on one CPU this does nothing. `stored`: the number that a resumed run has
  /// stored; 0: none. `store`: called with each number that was chosen.
  ThreadChoice(bool automatic, torch::Device device, int64_t stored, std::function<void(int)> store);

  /// Before the first step: chooses, unless a resume has a number.
  void begin(Trainer& trainer, Progress& progress);
  /// After a step of `seconds` for `targets`.
  void after_step(Trainer& trainer, Progress& progress, double seconds, double targets);

 private:
  void choose(Trainer& trainer, Progress& progress, bool first);

  int most_ = 1;  ///< as many as CPUs that this process may use; 1: there is no choice
  bool chosen_ = false;
  std::function<void(int)> store_;
  SpeedWatch watch_;
};

}  // namespace hmrnn
