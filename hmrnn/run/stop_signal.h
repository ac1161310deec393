#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Turns signals into flags for its lifetime, so that a loop can finish its step and save:
///
/// - SIGINT (Ctrl-C), SIGTERM and SIGHUP (the terminal was closed; ignored if it was, as by nohup) request a stop; a
///   second one ends the process immediately.
/// - SIGPIPE (the reader of the output has exited) requests a stop too, but never counts as the first or the second of
///   two requests: every message of the step that a stop waits for raises it again.
/// - SIGUSR1 requests a save.
/// - SIGXFSZ (a file grew beyond ulimit -f) is ignored: the write fails with an error, as on a full disk.
///
/// Only one object may exist at a time; its destructor restores the previous handlers.
class HMRNN_API StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The signal that requested a stop; 0: none.
  static int received();
  /// Whether SIGUSR1 has arrived since the last call.
  static bool save_requested();
};

}  // namespace hmrnn
