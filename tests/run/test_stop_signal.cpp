#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <vector>

#include "catch.h"
#include "hmrnn/run/stop_signal.h"

using hmrnn::StopSignal;

namespace {

/// What becomes of a process that gets `signals` one after the other: the signal that it received last as a request, or
/// minus the signal that ended it.
int sent(const std::vector<int>& signals) {
  const pid_t child = fork();
  if (child == 0) {
    const StopSignal handlers;
    for (const int signal : signals) std::raise(signal);
    _exit(StopSignal::received());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("one signal requests a stop, Ctrl-C after it ends the process") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGPIPE}) {
    INFO("signal " << signal);
    CHECK(sent({signal}) == signal);
    // Ctrl-C ends the reader of a pipe too, so it is the first request then.
    CHECK(sent({signal, SIGINT}) == (signal == SIGPIPE ? SIGINT : -SIGINT));
  }
  CHECK(sent({SIGUSR1, SIGUSR1, SIGUSR1}) == 0);
}

TEST_CASE("signals that come twice by themselves are no second request") {
  CHECK(sent({SIGHUP, SIGHUP}) == SIGHUP);  // from the shell, and from the kernel, of a closed terminal
  CHECK(sent({SIGTERM, SIGHUP, SIGTERM}) == SIGTERM);
  CHECK(sent({SIGINT, SIGHUP, SIGHUP}) == SIGINT);
  CHECK(sent({SIGXCPU, SIGXCPU}) == SIGXCPU);  // every second beyond the limit
}

TEST_CASE("a closed pipe is no second request") {
  // Of the messages that a step prints before it saves, or of Ctrl-C for a whole pipeline.
  CHECK(sent({SIGPIPE, SIGPIPE, SIGPIPE}) == SIGPIPE);
  CHECK(sent({SIGINT, SIGPIPE, SIGPIPE}) == SIGINT);
  CHECK(sent({SIGPIPE, SIGINT, SIGPIPE}) == SIGINT);
  CHECK(sent({SIGPIPE, SIGINT, SIGINT}) == -SIGINT);
}

TEST_CASE("the handlers of before are restored") {
  std::signal(SIGPIPE, SIG_IGN);
  { const StopSignal handlers; }
  CHECK(std::signal(SIGPIPE, SIG_DFL) == SIG_IGN);
}
