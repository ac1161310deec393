#ifdef HMRNN_CATCH2_V3
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include "support/seed.h"

int main(int argc, char** argv) {
  hmrnn::test::seed();
  return Catch::Session().run(argc, argv);
}
