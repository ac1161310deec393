#pragma once

#include "hmrnn/export.h"

namespace hmrnn {

/// While it lives, signals raise flags, so that a loop can finish its step and save:
///
/// - SIGINT (Ctrl-C), SIGTERM, SIGHUP (the terminal is gone; nohup's choice to ignore it stands) and SIGPIPE (nobody
/// reads
///   the output any more) ask it to stop; a second one ends the process at once.
/// - SIGUSR1 asks it to save and go on.
/// - SIGXFSZ (a file grew beyond ulimit -f) is ignored: the write fails with an error, as on a full disk.
///
/// One at a time; the handlers from before come back at its end.
class HMRNN_API StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;

  /// The signal that asked to stop, 0 if none did.
  static int received();
  /// Whether SIGUSR1 has come in since this was asked last.
  static bool save_requested();
};

}  // namespace hmrnn
