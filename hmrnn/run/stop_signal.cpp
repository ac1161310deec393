#include "hmrnn/run/stop_signal.h"

#include <array>
#include <csignal>

namespace hmrnn {

namespace {

volatile std::sig_atomic_t g_received = 0, g_save = 0;

extern "C" void on_stop_signal(int signal) {
  if (g_received == 0 || g_received == SIGPIPE) {
    g_received = signal;
  } else if (signal == SIGINT) {  // somebody does not want to wait
    std::signal(signal, SIG_DFL);
    std::raise(signal);
  }
}

extern "C" void on_save_signal(int) { g_save = 1; }

struct Handled {
  int signal;
  void (*handler)(int);
  struct sigaction before;
};

std::array<Handled, 7> g_handled = {{{SIGINT, on_stop_signal, {}},
                                     {SIGTERM, on_stop_signal, {}},
                                     {SIGHUP, on_stop_signal, {}},
                                     {SIGXCPU, on_stop_signal, {}},
                                     {SIGPIPE, on_stop_signal, {}},
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
