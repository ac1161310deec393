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

TEST_CASE("one signal requests a stop, a second one ends the process") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) {
    INFO("signal " << signal);
    CHECK(sent({signal}) == signal);
  }
  CHECK(sent({SIGINT, SIGINT}) == -SIGINT);
  CHECK(sent({SIGTERM, SIGINT}) == -SIGINT);
  CHECK(sent({SIGINT, SIGTERM}) == -SIGTERM);
  CHECK(sent({SIGUSR1, SIGUSR1, SIGUSR1}) == 0);
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
