#ifdef HMRNN_CATCH2_V3
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <c10/util/signal_handler.h>

#include <csignal>

#include "support/seed.h"

// By request: shows that the stacks are printed (tests/support/test_fatal_signal.sh).
TEST_CASE("a fatal signal prints the stack of every thread", "[.fatal_signal]") { std::raise(SIGSEGV); }

int main(int argc, char** argv) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // the sanitizers print stacks themselves
  // A crash that occurs once in a hundred runs must leave in CI's output where it occurred.
  c10::FatalSignalHandler::getInstance().setPrintStackTracesOnFatalSignal(true);
#endif
  hmrnn::test::seed();
  return Catch::Session().run(argc, argv);
}
