#include "hmrnn/run/stop_signal.h"

#include <array>
#include <csignal>

namespace hmrnn {

namespace {

volatile std::sig_atomic_t g_received = 0, g_save = 0;

extern "C" void on_stop_signal(int signal) {
  if (g_received != 0 && g_received != SIGPIPE) {  // second request: end the process
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
  g_received = signal;
}

// Every write to a closed pipe raises it, also the messages of the step that a stop waits for, and Ctrl-C in
// `train | tee log` ends the reader too. So it never counts as the second request.
extern "C" void on_closed_pipe(int) {
  if (g_received == 0) g_received = SIGPIPE;
}

extern "C" void on_save_signal(int) { g_save = 1; }

struct Handled {
  int signal;
  void (*handler)(int);
  struct sigaction before;
};

std::array<Handled, 6> g_handled = {{{SIGINT, on_stop_signal, {}},
                                     {SIGTERM, on_stop_signal, {}},
                                     {SIGHUP, on_stop_signal, {}},
                                     {SIGPIPE, on_closed_pipe, {}},
                                     {SIGUSR1, on_save_signal, {}},
                                     {SIGXFSZ, SIG_IGN, {}}}};

}  // namespace

StopSignal::StopSignal() {
  g_received = 0;
  g_save = 0;
  for (auto& [signal, handler, before] : g_handled) {
    struct sigaction action = {};
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;  // a signal must not interrupt a write
    sigaction(signal, &action, &before);
    if (signal == SIGHUP && before.sa_handler == SIG_IGN) sigaction(signal, &before, nullptr);
  }
}

StopSignal::~StopSignal() {
  for (const auto& handled : g_handled) sigaction(handled.signal, &handled.before, nullptr);
}

int StopSignal::received() { return g_received; }

bool StopSignal::save_requested() {
  if (g_save == 0) return false;
  g_save = 0;
  return true;
}

}  // namespace hmrnn
