#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// While it lives, SIGINT (Ctrl-C) and SIGTERM only raise a flag, so that a loop can finish its step and save; a second
/// one ends the process at once. One at a time; the handlers from before come back at its end.
class HMRNN_API StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The signal that came in, 0 if none.
  static int received();
};

}  // namespace hmrnn
