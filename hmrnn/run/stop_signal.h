#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// Turns signals into flags for its lifetime, so that a loop can finish its step and save:
///
/// - SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal was closed; ignored if it was, as by nohup), SIGXCPU (the time that
///   `ulimit -St` allows is over) and SIGPIPE (the reader of the output has exited) request a stop.
/// - SIGINT after a request ends the process immediately. The others do not, since they come twice without anybody's
///   impatience: SIGHUP from the shell and from the kernel when a terminal is closed, SIGTERM and SIGHUP from a service
///   manager, SIGXCPU every second, SIGPIPE from every message of the step that a stop waits for. Nor does SIGINT after
///   SIGPIPE alone, as Ctrl-C in `train | tee log` ends the reader too.
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
