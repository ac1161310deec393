// Seeds LibTorch once, so that tests without their own seed are repeatable.
#include <ATen/Context.h>
#undef CHECK
#ifdef HMRNN_CATCH2_V3
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

int main(int argc, char** argv) {
  at::manual_seed(1);
  return Catch::Session().run(argc, argv);
}
